//! Calls a component with the engine's batches, on warm instances.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use component_host::{Guest, GuestState};
use spin_kafka_trigger as engine;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, Instance};

use crate::Error;
use crate::events::{BatchRef, CHECKPOINT, Failure, HANDLER, Rejection};

/// The component behind a Kafka trigger.
pub(crate) struct GuestHandler {
    guest: Guest,
    handle: ComponentExportIndex,
    position: Option<ComponentExportIndex>,
    deadline: Duration,
    /// Instances at rest: at most one for each partition that was ever in flight at once.
    idle: Mutex<Vec<Warm>>,
}

struct Warm {
    store: Store<GuestState>,
    instance: Instance,
}

impl GuestHandler {
    /// Fails if the component does not export `spin-kafka:events/handler`.
    pub fn new(guest: &Guest, deadline: Duration) -> Result<Self, Error> {
        let handle = export(guest, HANDLER, "handle")
            .ok_or_else(|| Error::NoHandler { component: guest.id().into(), interface: HANDLER })?;
        Ok(Self {
            guest: guest.clone(),
            handle,
            position: export(guest, CHECKPOINT, "position"),
            deadline,
            idle: Mutex::default(),
        })
    }

    /// Calls the component on an idle or a new instance. After a trap or past the deadline the
    /// instance is dropped, and with it whatever state it was in.
    async fn call<T>(
        &self,
        call: impl AsyncFnOnce(&mut Warm) -> wasmtime::Result<T>,
    ) -> Result<T, engine::Failure> {
        let mut warm = self.take().await?;
        match tokio::time::timeout(self.deadline, call(&mut warm)).await {
            Ok(Ok(answer)) => {
                self.lock().push(warm);
                Ok(answer)
            }
            Ok(Err(trap)) => Err(self.failed(format!("trapped: {trap:#}"))),
            Err(_) => Err(self.failed(format!("gave no answer in {:?}", self.deadline))),
        }
    }

    async fn take(&self) -> Result<Warm, engine::Failure> {
        if let Some(warm) = self.lock().pop() {
            return Ok(warm);
        }
        match self.guest.instantiate().await {
            Ok((store, instance)) => Ok(Warm { store, instance }),
            Err(error) => Err(engine::Failure::Retry(error.to_string())),
        }
    }

    fn failed(&self, what: String) -> engine::Failure {
        engine::Failure::Retry(format!("component `{}` {what}", self.guest.id()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Warm>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl engine::Handler for GuestHandler {
    async fn handle(
        &self,
        batch: &engine::Batch,
    ) -> Result<Vec<engine::Rejection>, engine::Failure> {
        let answer = self.call(async |warm| warm.handle(&self.handle, batch).await).await?;
        match answer {
            Ok(rejections) => Ok(rejections.into_iter().map(Into::into).collect()),
            Err(failure) => Err(failure.into()),
        }
    }

    async fn position(
        &self,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<engine::Position, engine::Failure> {
        let Some(export) = &self.position else {
            return Ok(engine::Position::Committed);
        };
        let args = (topic, log_id, partition);
        match self.call(async |warm| warm.position(export, args).await).await? {
            Ok(Some(offset)) => Ok(engine::Position::At(offset)),
            Ok(None) => Ok(engine::Position::Start),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl Warm {
    async fn handle(
        &mut self,
        export: &ComponentExportIndex,
        batch: &engine::Batch,
    ) -> wasmtime::Result<Result<Vec<Rejection>, Failure>> {
        type Answer = (Result<Vec<Rejection>, Failure>,);
        let func = self.func(export)?;
        let typed = func.typed::<(BatchRef<'_>,), Answer>(&self.store)?;
        let (answer,) = typed.call_async(&mut self.store, (BatchRef::from(batch),)).await?;
        Ok(answer)
    }

    async fn position(
        &mut self,
        export: &ComponentExportIndex,
        args: (&str, &str, i32),
    ) -> wasmtime::Result<Result<Option<i64>, Failure>> {
        type Answer = (Result<Option<i64>, Failure>,);
        let func = self.func(export)?;
        let typed = func.typed::<(&str, &str, i32), Answer>(&self.store)?;
        let (answer,) = typed.call_async(&mut self.store, args).await?;
        Ok(answer)
    }

    fn func(&mut self, export: &ComponentExportIndex) -> wasmtime::Result<Func> {
        self.instance
            .get_func(&mut self.store, export)
            .ok_or_else(|| wasmtime::format_err!("the export is not a function"))
    }
}

/// The index of a function in an exported interface.
fn export(guest: &Guest, interface: &str, function: &str) -> Option<ComponentExportIndex> {
    let component = guest.pre().component();
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), function)
}
