//! Calls a component with a message.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use component_host::{Caller, Guest, GuestState, Host, Replacement};
use kafka_trigger::TRACE_TARGET;
use tokio::time::{sleep, timeout};
use tracing::{Instrument as _, trace_span};
use wasmtime::Store;
use wasmtime::component::{ComponentExportIndex, ComponentType, Instance, Lift};

use crate::Error;
use crate::limits::INSTANCE_PAUSE;

/// The interface of spin-sdk up to 5. Its function is synchronous.
const OLDER: &str = "fermyon:spin/inbound-redis";

/// The interface of spin-sdk 6 and newer. Its function is asynchronous.
const CURRENT: &str = "spin:redis/inbound-redis@3.0.0";

/// The function of both.
const FUNCTION: &str = "handle-message";

/// The component that gets the messages of channels. Cheap to clone.
#[derive(Clone)]
pub struct MessageHandler(Arc<Shared>);

struct Shared {
    build: RwLock<Arc<Build>>,
    limit: Duration,
}

/// One build of the component.
struct Build {
    guest: Guest,
    interface: Interface,
    handle: ComponentExportIndex,
}

#[derive(Clone, Copy)]
enum Interface {
    Older,
    Current,
}

/// The error of [`OLDER`].
#[derive(Debug, Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "the derived code creates the variants from numbers")]
enum OlderError {
    #[component(name = "success")]
    Success,
    #[component(name = "error")]
    Error,
}

/// The error of [`CURRENT`].
#[derive(Debug, Clone, ComponentType, Lift)]
#[component(variant)]
enum CurrentError {
    #[component(name = "invalid-address")]
    InvalidAddress,
    #[component(name = "too-many-connections")]
    TooManyConnections,
    #[component(name = "type-error")]
    TypeError,
    #[component(name = "other")]
    Other(String),
}

/// Why a message was not handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of the failure.
    pub class: FailureClass,
    /// What happened. It may contain any text of the component.
    pub reason: String,
}

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// The component returned an error.
    Error,
    /// It trapped.
    Trap,
    /// It needed more memory than an instance may have.
    Memory,
    /// It did not answer in time.
    Deadline,
    /// There was no instance in time, or its export has another type.
    Unavailable,
}

impl FailureClass {
    pub(crate) const ALL: [Self; 5] =
        [Self::Error, Self::Trap, Self::Memory, Self::Deadline, Self::Unavailable];

    /// The value of the label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Trap => "trap",
            Self::Memory => "memory",
            Self::Deadline => "deadline",
            Self::Unavailable => "unavailable",
        }
    }

    fn because(self, reason: impl Into<String>) -> Failure {
        Failure { class: self, reason: reason.into() }
    }
}

impl MessageHandler {
    /// The handler of this component, which may take this long for a message. Fails if the component is
    /// not loaded, or does not export exactly one of the interfaces.
    pub fn find(host: &Host, component: &str, limit: Duration) -> Result<Self, Error> {
        let guest = host.guest(component);
        let guest = guest.ok_or_else(|| Error::NotLoaded { component: component.into() })?;
        Ok(Self(Arc::new(Shared { build: RwLock::new(Arc::new(Build::new(guest)?)), limit })))
    }

    fn build(&self) -> Arc<Build> {
        self.0.build.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Passes a message of this channel to an instance of its own.
    pub async fn handle(&self, channel: &str, payload: &[u8]) -> Result<(), Failure> {
        let build = self.build();
        let span = trace_span!(
            target: TRACE_TARGET,
            "process",
            otel.name = format!("process {channel}"),
            otel.kind = "consumer",
            messaging.system = "redis",
            messaging.operation.type = "process",
            messaging.destination.name = channel,
            component = build.guest.id(),
        );
        build.call(payload, self.0.limit).instrument(span).await
    }
}

impl Caller for MessageHandler {
    fn component(&self) -> String {
        self.build().guest.id().into()
    }

    fn prepare(
        &self,
        guest: Guest,
    ) -> Result<Replacement, Box<dyn std::error::Error + Send + Sync>> {
        let (build, shared) = (Arc::new(Build::new(guest)?), self.0.clone());
        Ok(Box::new(move || {
            *shared.build.write().unwrap_or_else(PoisonError::into_inner) = build;
        }))
    }
}

impl Build {
    fn new(guest: Guest) -> Result<Self, Error> {
        let export = |interface| {
            let component = guest.pre().component();
            let interface = component.get_export_index(None, interface)?;
            component.get_export_index(Some(&interface), FUNCTION)
        };
        let component = || guest.id().into();
        let (interface, handle) = match (export(OLDER), export(CURRENT)) {
            (Some(handle), None) => (Interface::Older, handle),
            (None, Some(handle)) => (Interface::Current, handle),
            (None, None) => return Err(Error::NoHandler { component: component() }),
            (Some(_), Some(_)) => return Err(Error::TwoHandlers { component: component() }),
        };
        Ok(Self { guest, interface, handle })
    }

    /// Calls the component on an instance of its own. The instance, and then the answer, may take as long
    /// as `limit`.
    async fn call(&self, payload: &[u8], limit: Duration) -> Result<(), Failure> {
        let instance = timeout(limit, self.instance()).await.unwrap_or_else(|_| {
            let reason = format!("no instance was free and initialized within {limit:?}");
            Err(FailureClass::Unavailable.because(reason))
        })?;
        timeout(limit, self.call_on(instance, payload)).await.unwrap_or_else(|_| {
            Err(FailureClass::Deadline.because(format!("it did not answer within {limit:?}")))
        })
    }

    /// Creates an instance. Waits while the process has as many as it may have.
    async fn instance(&self) -> Result<(Store<GuestState>, Instance), Failure> {
        loop {
            match self.guest.instantiate().await {
                Err(component_host::Error::Full { .. }) => sleep(INSTANCE_PAUSE).await,
                Err(error) => return Err(FailureClass::Unavailable.because(error.to_string())),
                Ok(instance) => return Ok(instance),
            }
        }
    }

    async fn call_on(
        &self,
        (mut store, instance): (Store<GuestState>, Instance),
        payload: &[u8],
    ) -> Result<(), Failure> {
        let unavailable = |reason| FailureClass::Unavailable.because(reason);
        let other_type = |error: wasmtime::Error| {
            unavailable(format!("its export `{FUNCTION}` has another type: {error:#}"))
        };
        let handle = instance.get_func(&mut store, self.handle);
        let handle =
            handle.ok_or_else(|| unavailable(format!("its export `{FUNCTION}` is no function")))?;
        let answer = match self.interface {
            Interface::Older => {
                type Answer = Result<(), OlderError>;
                let typed = handle.typed::<(&[u8],), (Answer,)>(&store).map_err(other_type)?;
                let called = typed.call_async(&mut store, (payload,)).await;
                called.map(|(answer,)| answer.map_err(|error| format!("{error:?}")))
            }
            Interface::Current => {
                type Answer = Result<(), CurrentError>;
                let typed = handle.typed::<(&[u8],), (Answer,)>(&store).map_err(other_type)?;
                let called = typed.call_async(&mut store, (payload,)).await;
                called.map(|(answer,)| {
                    answer.map_err(|error| match error {
                        CurrentError::Other(text) => text,
                        error => format!("{error:?}"),
                    })
                })
            }
        };
        match answer {
            Ok(Ok(())) => Ok(()),
            Ok(Err(text)) => Err(FailureClass::Error.because(text)),
            Err(trap) if store.data().hit_memory_cap() => {
                let what = "it requested more memory than --max-instance-memory allows";
                Err(FailureClass::Memory.because(format!("{what}: {trap:#}")))
            }
            Err(trap) => Err(FailureClass::Trap.because(format!("{trap:#}"))),
        }
    }
}
