//! Calls a component with the engine's batches, on instances that are kept between calls.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use component_host::{Caller, Guest, GuestState, Host, Replacement};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use spin_kafka_trigger as engine;
use tracing::Instrument as _;
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, Func, Instance, TypedFunc};

use crate::events::{self, BatchRef, Failure, Rejection, TransformAnswer};
use crate::interfaces::{Exports, Form, Version};
use crate::packed::PackedBatch;
use crate::trace::{BatchSpans, MessagingSystem};
use crate::{Error, events_0_1};

/// The component that a trigger calls. Cheap to clone.
#[derive(Clone)]
pub struct GuestHandler(Arc<Shared>);

struct Shared {
    build: RwLock<Arc<Build>>,
    deadline: Duration,
    system: MessagingSystem,
    instances: Gauge,
    swaps: Counter,
}

/// One build of the component.
struct Build {
    guest: Guest,
    exports: Exports,
    /// Idle instances. There are at most as many as the highest number of calls at the same time,
    /// which `concurrency_max` limits.
    idle: Mutex<Vec<WarmInstance>>,
}

/// The function of an instance that takes batches. Its type was checked. `Lists` functions have a
/// list for every key, value and header; `Packed` functions have one list for all of them.
/// `Transform` functions return records.
enum HandleFunc {
    Lists(Func),
    Transform(Func),
    Packed(TypedFunc<(PackedBatch,), (Answer,)>),
    Lists0_1(Func),
    Packed0_1(TypedFunc<(events_0_1::PackedBatch,), (Answer,)>),
}

/// The answer to a batch.
type Answer = Result<Vec<Rejection>, Failure>;

/// The answer of a component that returns records.
type Transformed = Result<TransformAnswer, Failure>;

/// An instance. It is counted until it is dropped.
struct WarmInstance {
    store: Store<GuestState>,
    instance: Instance,
    handle: HandleFunc,
    /// Whether the component keeps its position.
    keeps_position: bool,
    alive: Gauge,
}

impl Drop for WarmInstance {
    fn drop(&mut self) {
        self.alive.dec();
    }
}

impl GuestHandler {
    /// The handler of this component, whose batches are from this system. Fails if the component is
    /// not loaded, or does not export a handler of `spin-kafka:events`.
    pub fn find(
        host: &Host,
        component: &str,
        deadline: Duration,
        system: MessagingSystem,
    ) -> Result<Self, Error> {
        let guest = host
            .guest(component)
            .ok_or_else(|| Error::NotLoaded { component: component.into() })?;
        Ok(Self(Arc::new(Shared {
            build: RwLock::new(Arc::new(Build::new(guest)?)),
            deadline,
            system,
            instances: Gauge::default(),
            swaps: Counter::default(),
        })))
    }

    /// The component's id.
    pub fn component(&self) -> String {
        self.build().guest.id().into()
    }

    /// A build that can replace the one that is called.
    fn other_build(&self, guest: Guest) -> Result<Arc<Build>, Error> {
        let (current, build) = (self.build(), Build::new(guest)?);
        if build.exports.position.is_some() != current.exports.position.is_some() {
            return Err(Error::CheckpointChanged { component: build.guest.id().into() });
        }
        if build.exports.returns_records() != current.exports.returns_records() {
            return Err(Error::HandlerChanged { component: build.guest.id().into() });
        }
        Ok(Arc::new(build))
    }

    /// Whether the component returns records to write.
    pub fn returns_records(&self) -> bool {
        self.build().exports.returns_records()
    }

    /// Registers the metrics of the instances.
    pub fn register(&self, registry: &mut Registry) {
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
            Ok(Err(trap)) => {
                Err(engine::Failure::Trap(failure(format!("trapped: {}", explained(&trap)))))
            }
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
                let keeps_position = build.exports.position.is_some();
                Ok(WarmInstance { store, instance, handle, keeps_position, alive })
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

impl Caller for GuestHandler {
    fn component(&self) -> String {
        Self::component(self)
    }

    fn prepare(
        &self,
        guest: Guest,
    ) -> Result<Replacement, Box<dyn std::error::Error + Send + Sync>> {
        let (build, shared) = (self.other_build(guest)?, self.0.clone());
        Ok(Box::new(move || {
            *shared.build.write().unwrap_or_else(PoisonError::into_inner) = build;
            shared.swaps.inc();
        }))
    }
}

/// The text of a trap, with its usual cause if the runtime's own text does not suggest it.
fn explained(trap: &wasmtime::Error) -> String {
    let text = format!("{trap:#}");
    if text.contains("cannot leave component instance") {
        return format!(
            "{text}; the component called the host while it received the batch: see \
             docs/guide/other-languages.md"
        );
    }
    text
}

impl engine::Handler for GuestHandler {
    async fn handle(
        &self,
        batch: &engine::Batch,
    ) -> Result<Vec<engine::Rejection>, engine::Failure> {
        self.answer(Arc::new(batch.clone())).await?.only_rejections()
    }

    async fn answer(&self, batch: Arc<engine::Batch>) -> Result<engine::Answer, engine::Failure> {
        let build = self.build();
        let spans = BatchSpans::new(self.0.system, build.guest.id(), &batch);
        let time_limit = self.0.deadline;
        let call = self.call(&build, async |warm| warm.handle(&batch, time_limit).await);
        call.instrument(spans.batch.clone()).await?
    }

    async fn position(
        &self,
        group: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<engine::Position, engine::Failure> {
        let build = self.build();
        let Some(export) = &build.exports.position else {
            return Ok(engine::Position::Committed);
        };
        let (version, args) = (build.exports.version, (group, topic, log_id, partition));
        match self.call(&build, async |warm| warm.position(export, version, args).await).await? {
            Ok(Some(events::COMMITTED)) if version == Version::V0_2 => {
                Ok(engine::Position::Adopted)
            }
            Ok(Some(offset)) => Ok(engine::Position::At(offset)),
            Ok(None) => Ok(engine::Position::Start),
            Err(failure) => Err(failure.into()),
        }
    }
}

impl Build {
    fn new(guest: Guest) -> Result<Self, Error> {
        let exports = Exports::find(&guest)?;
        Ok(Self { guest, exports, idle: Mutex::default() })
    }

    /// The function of an instance that takes batches. A wrong type would make each call fail, and
    /// so is not a failure of the records.
    fn handle_func(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> Result<HandleFunc, engine::Failure> {
        self.typed(store, instance).map_err(|e| {
            let (component, interface) = (self.guest.id(), self.exports.handler);
            let reason =
                format!("component `{component}`: its export {interface} has another type: {e:#}");
            engine::Failure::Fatal(reason)
        })
    }

    fn typed(
        &self,
        store: &mut Store<GuestState>,
        instance: &Instance,
    ) -> wasmtime::Result<HandleFunc> {
        let Exports { version, form, handle, .. } = &self.exports;
        let func = func(&mut *store, instance, handle)?;
        Ok(match (form, version) {
            (Form::Transform, _) => {
                func.typed::<(BatchRef<'_>,), (Transformed,)>(&*store)?;
                HandleFunc::Transform(func)
            }
            (Form::Lists, Version::V0_2) => {
                func.typed::<(BatchRef<'_>,), (Answer,)>(&*store)?;
                HandleFunc::Lists(func)
            }
            (Form::Packed, Version::V0_2) => HandleFunc::Packed(func.typed(&*store)?),
            (Form::Lists, Version::V0_1) => {
                func.typed::<(events_0_1::BatchRef<'_>,), (Answer,)>(&*store)?;
                HandleFunc::Lists0_1(func)
            }
            (Form::Packed, Version::V0_1) => HandleFunc::Packed0_1(func.typed(&*store)?),
        })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<WarmInstance>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl WarmInstance {
    async fn handle(
        &mut self,
        batch: &engine::Batch,
        time_limit: Duration,
    ) -> wasmtime::Result<Result<engine::Answer, engine::Failure>> {
        let keeps_position = self.keeps_position;
        let packed = || {
            PackedBatch::new(batch, time_limit)
                .ok_or_else(|| wasmtime::format_err!("the batch exceeds 4 GiB"))
        };
        let (answer,) = match &self.handle {
            HandleFunc::Lists(func) => {
                let typed = func.typed::<(BatchRef<'_>,), (Answer,)>(&self.store)?;
                let headers = events::headers(batch);
                let batch = BatchRef::new(batch, &headers, time_limit);
                typed.call_async(&mut self.store, (batch,)).await?
            }
            HandleFunc::Transform(func) => {
                let typed = func.typed::<(BatchRef<'_>,), (Transformed,)>(&self.store)?;
                let headers = events::headers(batch);
                let batch = BatchRef::new(batch, &headers, time_limit);
                let (answer,) = typed.call_async(&mut self.store, (batch,)).await?;
                return Ok(answer.map(Into::into).map_err(Into::into));
            }
            HandleFunc::Packed(typed) => typed.call_async(&mut self.store, (packed()?,)).await?,
            HandleFunc::Lists0_1(func) => {
                let typed = func.typed::<(events_0_1::BatchRef<'_>,), (Answer,)>(&self.store)?;
                let headers = events::headers(batch);
                let batch = BatchRef::new(batch, &headers, time_limit);
                let batch = events_0_1::BatchRef::new(batch, keeps_position);
                typed.call_async(&mut self.store, (batch,)).await?
            }
            HandleFunc::Packed0_1(typed) => {
                let batch = events_0_1::PackedBatch::new(packed()?, keeps_position);
                typed.call_async(&mut self.store, (batch,)).await?
            }
        };
        let rejections = |list: Vec<Rejection>| -> Vec<engine::Rejection> {
            list.into_iter().map(Into::into).collect()
        };
        Ok(answer.map(|list| rejections(list).into()).map_err(Into::into))
    }

    async fn position(
        &mut self,
        export: &ComponentExportIndex,
        version: Version,
        (group, topic, log_id, partition): (&str, &str, &str, i32),
    ) -> wasmtime::Result<Result<Option<i64>, Failure>> {
        type Answer = (Result<Option<i64>, Failure>,);
        let func = func(&mut self.store, &self.instance, export)?;
        let (answer,) = match version {
            Version::V0_2 => {
                let typed = func.typed::<(&str, &str, Option<&str>, i32), Answer>(&self.store)?;
                let args = (group, topic, events::log_id(log_id), partition);
                typed.call_async(&mut self.store, args).await?
            }
            Version::V0_1 => {
                let typed = func.typed::<(&str, &str, i32), Answer>(&self.store)?;
                typed.call_async(&mut self.store, (topic, log_id, partition)).await?
            }
        };
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

#[cfg(test)]
mod tests {
    use super::explained;

    #[test]
    fn the_reason_of_a_call_while_a_batch_is_received_names_the_guide() {
        let trap = wasmtime::format_err!("wasm trap: cannot leave component instance");
        assert!(explained(&trap).contains("docs/guide/other-languages.md"));
        let other = wasmtime::format_err!("wasm trap: unreachable");
        assert_eq!(explained(&other), "wasm trap: unreachable");
    }
}
