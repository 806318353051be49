//! How wasmtime's request handler makes, shares and drops instances of one component.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::guest::Guest;
use crate::state::GuestState;
use crate::{Error, Limits};

/// How long an instance that let a request's deadline pass is kept for its other requests. Not
/// long: the next request may have been announced to it, and is only taken by another once this
/// one is gone.
const GRACE: Duration = Duration::from_millis(200);

/// Makes the instances of one HTTP component.
pub(crate) struct Instances {
    guest: Guest,
    proxy: ProxyPre<GuestState>,
    limits: Arc<Limits>,
    /// Whether an instance can serve several requests, one after or beside the other.
    reusable: bool,
    /// Whether the server is done: instances then end wherever they are.
    closed: Arc<AtomicBool>,
}

impl Instances {
    /// Fails if the component exports no HTTP handler of WASI 0.2 or 0.3.
    pub fn new(guest: &Guest, limits: &Arc<Limits>) -> Result<Self, Error> {
        let pre = guest.pre().clone();
        let (proxy, reusable) = match wasmtime_wasi_http::p3::bindings::ServicePre::new(pre.clone())
        {
            Ok(service) => (ProxyPre::P3(service), true),
            Err(_) => match wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre) {
                Ok(proxy) => (ProxyPre::P2(proxy), false),
                Err(_) => {
                    return Err(Error::Guest {
                        component: guest.id().into(),
                        message:
                            "it has an HTTP trigger but exports neither wasi:http/handler@0.3 \
                                      nor wasi:http/incoming-handler@0.2"
                                .into(),
                    });
                }
            },
        };
        let (guest, limits, closed) = (guest.clone(), limits.clone(), Arc::default());
        Ok(Self { guest, proxy, limits, reusable, closed })
    }

    /// From now on an instance that ends in mid-way is no failure.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

impl HandlerState for Instances {
    type StoreData = GuestState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<GuestState, Expiration, Worker>> {
        let mut store = self.guest.store();
        let proxy = self.proxy.instantiate_async(&mut store).await?;
        let (total_max, at_once_max) = if self.reusable {
            (self.limits.requests_per_instance_max, self.limits.requests_at_once_per_instance_max)
        } else {
            (1, 1)
        };
        let late = Arc::<AtomicBool>::default();
        Ok(Instance {
            store,
            proxy,
            view: GuestState::http,
            expiration: Expiration {
                idle_timeout: self.limits.idle_instance_timeout,
                request_timeout: self.limits.request_timeout,
                late: late.clone(),
                sleep: Box::pin(tokio::time::sleep(self.limits.idle_instance_timeout)),
            },
            state: Worker {
                component: self.guest.id.clone(),
                closed: self.closed.clone(),
                total_max,
                at_once_max,
                request_timeout: self.limits.request_timeout,
                late,
            },
        })
    }
}

/// One instance's share of the limits.
pub(crate) struct Worker {
    component: Arc<str>,
    closed: Arc<AtomicBool>,
    total_max: usize,
    at_once_max: usize,
    request_timeout: Duration,
    late: Arc<AtomicBool>,
}

impl WorkerState for Worker {
    type StoreData = GuestState;
    type RequestData = ();

    fn should_accept_request(&self, at_once: usize, total: usize) -> ShouldAccept {
        if total >= self.total_max {
            ShouldAccept::Never
        } else if at_once >= self.at_once_max {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _store: StoreContextMut<'_, GuestState>,
        (): (),
        _task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let (timeout, late) = (self.request_timeout, self.late.clone());
        Box::pin(async move {
            tokio::time::sleep(timeout).await;
            late.store(true, Ordering::Relaxed);
        })
    }

    fn drop(&self, store: Store<GuestState>, result: Result<(), wasmtime::Error>) {
        drop(store);
        if let Err(error) = result
            && !self.closed.load(Ordering::Relaxed)
        {
            let error = format!("{error:#}");
            tracing::error!(component = &*self.component, error, "an HTTP instance failed");
        }
    }
}

/// When an instance is dropped: idle for long enough, or stuck in a request that nobody waits
/// for any more.
pub(crate) struct Expiration {
    idle_timeout: Duration,
    request_timeout: Duration,
    /// Whether a request's deadline has passed.
    late: Arc<AtomicBool>,
    sleep: Pin<Box<Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        let timeout = match status {
            WorkerStatus::Idle => self.idle_timeout,
            WorkerStatus::PostReturn if self.late.load(Ordering::Relaxed) => GRACE,
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.request_timeout + GRACE,
        };
        let deadline = tokio::time::Instant::from_std(start + timeout);
        // Most requests move the deadline further away: the timer is left where it is, and set
        // anew when it strikes too early.
        if deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(deadline);
        }
        while self.sleep.as_mut().poll(cx).is_ready() {
            if self.sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
