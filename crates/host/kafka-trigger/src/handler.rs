//! Calls a component with the engine's batches, on instances that are kept between calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use component_host::{Guest, GuestState};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use spin_kafka_trigger as engine;
use tracing::Instrument as _;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, Instance, TypedFunc};

use crate::Error;
use crate::events::{self, BatchRef, CHECKPOINT, Failure, HANDLER, Rejection};
use crate::packed::{PACKED_HANDLER, PackedBatch};
use crate::trace::BatchSpans;

/// The component that a Kafka trigger calls. Cheap to clone.
#[derive(Clone)]
pub struct GuestHandler(Arc<Shared>);

struct Shared {
    build: RwLock<Arc<Build>>,
    deadline: Duration,
    instances: Gauge,
    swaps: Counter,
}

/// One build of the component.
struct Build {
    guest: Guest,
    handle: Handle,
    position: Option<ComponentExportIndex>,
    /// Idle instances. There are at most as many as the highest number of calls at the same time,
    /// which `concurrency_max` limits.
    idle: Mutex<Vec<WarmInstance>>,
}

/// The export that takes batches.
enum Handle {
    /// With a list for every key, value and header.
    Lists(ComponentExportIndex),
    /// With one list for all of them.
    Packed(ComponentExportIndex),
}

/// The function of an instance that takes batches. Its type was checked.
enum HandleFunc {
    Lists(Func),
    Packed(TypedFunc<(PackedBatch,), (Answer,)>),
}

/// The answer to a batch.
type Answer = Result<Vec<Rejection>, Failure>;

/// An instance. It is counted until it is dropped.
struct WarmInstance {
    store: Store<GuestState>,
    instance: Instance,
    handle: HandleFunc,
    alive: Gauge,
}

impl Drop for WarmInstance {
    fn drop(&mut self) {
        self.alive.dec();
    }
}

impl GuestHandler {
    /// Fails if the component does not export `spin-kafka:events/handler`.
    pub(crate) fn new(guest: Guest, deadline: Duration) -> Result<Self, Error> {
        Ok(Self(Arc::new(Shared {
            build: RwLock::new(Arc::new(Build::new(guest)?)),
            deadline,
            instances: Gauge::default(),
            swaps: Counter::default(),
        })))
    }

    /// The component's id.
    pub fn component(&self) -> String {
        self.build().guest.id().into()
    }

    /// Uses this build for batches from now on. Calls in progress finish on the old one.
    pub fn swap(&self, guest: Guest) -> Result<(), Error> {
        let build = Arc::new(Build::new(guest)?);
        let mut current = self.0.build.write().unwrap_or_else(PoisonError::into_inner);
        if build.position.is_some() != current.position.is_some() {
            return Err(Error::CheckpointChanged { component: build.guest.id().into() });
        }
        *current = build;
        self.0.swaps.inc();
        Ok(())
    }

    pub(crate) fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("spin_kafka");
        let instances = self.0.instances.clone();
        registry.register("instances", "Instances of the component", instances);
        let swaps = self.0.swaps.clone();
        registry.register("component_swaps", "New builds of the component taken over", swaps);
    }

    fn build(&self) -> Arc<Build> {
        self.0.build.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls the component on an idle instance, or a new one. After a trap or a missed deadline the
    /// instance is dropped, because its state is unknown.
    async fn call<T>(
        &self,
        build: &Build,
        call: impl AsyncFnOnce(&mut WarmInstance) -> wasmtime::Result<T>,
    ) -> Result<T, engine::Failure> {
        let mut warm = self.take(build).await?;
        let failure = |what: String| format!("component `{}` {what}", build.guest.id());
        match tokio::time::timeout(self.0.deadline, call(&mut warm)).await {
            Ok(Ok(answer)) => {
                build.idle().push(warm);
                Ok(answer)
            }
            Ok(Err(trap)) if warm.store.data().hit_memory_cap() => {
                let what = "requested more memory than --max-instance-memory allows";
                Err(engine::Failure::Memory(failure(format!("{what}: {trap:#}"))))
            }
            Ok(Err(trap)) => Err(engine::Failure::Trap(failure(format!("trapped: {trap:#}")))),
            Err(_) => {
                let what = format!("did not answer within {:?}", self.0.deadline);
                Err(engine::Failure::Deadline(failure(what)))
            }
        }
    }

    /// Takes an idle instance or creates one. The limit of instances is a transient error. An
    /// instance that is not ready before the deadline is not a failure of the records, which must
    /// not become dead letters because of it, and neither is an export of another type.
    async fn take(&self, build: &Build) -> Result<WarmInstance, engine::Failure> {
        if let Some(warm) = build.idle().pop() {
            return Ok(warm);
        }
        let deadline = self.0.deadline;
        match tokio::time::timeout(deadline, build.guest.instantiate()).await {
            Ok(Ok((mut store, instance))) => {
                let handle = build.handle_func(&mut store, &instance)?;
                self.0.instances.inc();
                let alive = self.0.instances.clone();
                Ok(WarmInstance { store, instance, handle, alive })
            }
            Ok(Err(error)) => Err(engine::Failure::Retry(error.to_string())),
            Err(_) => {
                let component = build.guest.id();
                let reason =
                    format!("component `{component}` was not initialized within {deadline:?}");
                Err(engine::Failure::Retry(reason))
            }
        }
    }
}

impl engine::Handler for GuestHandler {
    async fn handle(
        &self,
        batch: &engine::Batch,
    ) -> Result<Vec<engine::Rejection>, engine::Failure> {
        let build = self.build();
        let spans = BatchSpans::new(build.guest.id(), batch);
        let call = self.call(&build, async |warm| warm.handle(batch).await);
        match call.instrument(spans.batch.clone()).await? {
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
        let build = self.build();
        let Some(export) = &build.position else {
            return Ok(engine::Position::Committed);
        };
        let args = (topic, log_id, partition);
        match self.call(&build, async |warm| warm.position(export, args).await).await? {
            Ok(Some(offset)) => Ok(engine::Position::At(offset)),
            Ok(None) => Ok(engine::Position::Start),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl Build {
    fn new(guest: Guest) -> Result<Self, Error> {
        let lists = export(&guest, HANDLER, "handle")
            .ok_or_else(|| Error::NoHandler { component: guest.id().into(), interface: HANDLER })?;
        let packed = export(&guest, PACKED_HANDLER, "handle");
        let handle = packed.map_or(Handle::Lists(lists), Handle::Packed);
        let position = export(&guest, CHECKPOINT, "position");
        Ok(Self { guest, handle, position, idle: Mutex::default() })
    }

    /// The function of an instance that takes batches. A wrong type would make each call fail, and
    /// so is not a failure of the records.
    fn handle_func(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> Result<HandleFunc, engine::Failure> {
        let (interface, func) = match &self.handle {
            Handle::Lists(export) => {
                let func = func(store, instance, export).and_then(|func| {
                    func.typed::<(BatchRef<'_>,), (Answer,)>(&*store)?;
                    Ok(HandleFunc::Lists(func))
                });
                (HANDLER, func)
            }
            Handle::Packed(export) => {
                let func = func(store, instance, export).and_then(|func| func.typed(&*store));
                (PACKED_HANDLER, func.map(HandleFunc::Packed))
            }
        };
        func.map_err(|e| {
            let component = self.guest.id();
            let reason =
                format!("component `{component}`: its export {interface} has another type: {e:#}");
            engine::Failure::Fatal(reason)
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<WarmInstance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WarmInstance {
    async fn handle(&mut self, batch: &engine::Batch) -> wasmtime::Result<Answer> {
        let (answer,) = match &self.handle {
            HandleFunc::Lists(func) => {
                let typed = func.typed::<(BatchRef<'_>,), (Answer,)>(&self.store)?;
                let headers = events::headers(batch);
                let batch = BatchRef::new(batch, &headers);
                typed.call_async(&mut self.store, (batch,)).await?
            }
            HandleFunc::Packed(typed) => {
                let batch = PackedBatch::new(batch)
                    .ok_or_else(|| wasmtime::format_err!("the batch exceeds 4 GiB"))?;
                typed.call_async(&mut self.store, (batch,)).await?
            }
        };
        Ok(answer)
    }

    async fn position(
        &mut self,
        export: &ComponentExportIndex,
        args: (&str, &str, i32),
    ) -> wasmtime::Result<Result<Option<i64>, Failure>> {
        type Answer = (Result<Option<i64>, Failure>,);
        let func = func(&mut self.store, &self.instance, export)?;
        let typed = func.typed::<(&str, &str, i32), Answer>(&self.store)?;
        let (answer,) = typed.call_async(&mut self.store, args).await?;
        Ok(answer)
    }
}

fn func(
    store: &mut Store<GuestState>,
    instance: &Instance,
    export: &ComponentExportIndex,
) -> wasmtime::Result<Func> {
    instance
        .get_func(store, export)
        .ok_or_else(|| wasmtime::format_err!("the export is not a function"))
}

/// The index of a function in an exported interface.
fn export(guest: &Guest, interface: &str, function: &str) -> Option<ComponentExportIndex> {
    let component = guest.pre().component();
    let interface = component.get_export_index(None, interface)?;
    component.get_export_index(Some(&interface), function)
}
