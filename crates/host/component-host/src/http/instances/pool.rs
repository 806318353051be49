//! The instances of one HTTP component: performs what the schedule and the state of each instance
//! decide.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::Response;

use super::instance::{AfterWork, Change, Expiry, Instance, InstanceLimits, Next, Progress};
use super::schedule::{Actions, PoolLimits, Schedule, Waiting};
use crate::http::metrics::{Counted, PoolGauges};
use crate::whole::WholeBody;

/// The interval of the check for a standstill.
const STANDSTILL: Duration = Duration::from_millis(10);

/// Creates an instance and runs it until it ends.
pub(super) type Launch = Box<dyn Fn(InstanceSlot) + Send + Sync>;

/// The instances of one HTTP component.
pub(in crate::http) struct Pool {
    component: Arc<str>,
    instance_limits: InstanceLimits,
    schedule: Mutex<Schedule<Job>>,
    gauges: PoolGauges,
    /// Wakes one idle instance when a request arrives.
    arrival: Notify,
    launch: Launch,
    /// Whether the server has ended. Instances may then end at any time.
    closed: AtomicBool,
}

/// A request for a component.
pub(in crate::http) enum InstanceRequest {
    /// With its complete body.
    Whole(http::Request<WholeBody>),
    /// With a body that is read by the component.
    Streamed(http::Request<WasiBody>),
}

/// A request that waits for an instance.
pub(super) struct Job {
    pub request: InstanceRequest,
    /// The channel for its answer.
    pub answer: oneshot::Sender<wasmtime::Result<Response>>,
    /// Counts the request until an instance takes it.
    pub waiting: Counted,
}

impl Waiting for Job {
    fn is_abandoned(&self) -> bool {
        self.answer.is_canceled()
    }
}

/// Why a request was not started: no instance could be created for it.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP instance could be created: {0}")]
pub(in crate::http) struct NoInstance(pub String);

/// Why no other instance is created: the component has reached its limit.
#[derive(Debug, thiserror::Error)]
#[error("the component has {0} instances, which is its share of the process's instances")]
struct LimitReached(usize);

/// Why a request has no answer: its instance failed.
#[derive(Debug, thiserror::Error)]
#[error("the instance that handled the request failed")]
pub(in crate::http) struct InstanceFailed;

impl Pool {
    /// A pool without instances. `launch` is called for each instance to create.
    pub(super) fn new(
        component: &Arc<str>,
        limits: PoolLimits,
        instance_limits: InstanceLimits,
        gauges: PoolGauges,
        launch: Launch,
    ) -> Arc<Self> {
        Arc::new(Self {
            component: component.clone(),
            instance_limits,
            schedule: Mutex::new(Schedule::new(limits)),
            gauges,
            arrival: Notify::new(),
            launch,
            closed: AtomicBool::new(false),
        })
    }

    /// Passes a request to an instance and waits for the answer.
    pub async fn handle(self: &Arc<Self>, request: InstanceRequest) -> wasmtime::Result<Response> {
        let (answer, answered) = oneshot::channel();
        let waiting = Counted::new(&self.gauges.waiting);
        self.apply(|schedule| schedule.arrived(Job { request, answer, waiting }));
        answered.await.map_err(|_| wasmtime::Error::new(InstanceFailed))?
    }

    /// Whether the server has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// From now on, instances that end and requests without an instance are not logged as failures.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Applies an event and performs what results from it.
    fn apply(self: &Arc<Self>, event: impl FnOnce(&mut Schedule<Job>) -> Actions<Job>) {
        let actions = event(&mut self.schedule());
        self.perform(actions);
    }

    /// Must be called without a lock: requests that are dropped here wake their callers.
    fn perform(self: &Arc<Self>, actions: Actions<Job>) {
        let Actions { start, refuse, abandoned, wake, check_later } = actions;
        for _ in 0..start {
            (self.launch)(InstanceSlot::new(self));
        }
        drop(abandoned);
        if !refuse.is_empty() {
            let limit = self.schedule().instances_max();
            self.refuse(refuse, &wasmtime::Error::new(LimitReached(limit)));
        }
        if check_later {
            tokio::spawn(self.clone().check());
        }
        if wake {
            self.wake_one();
        }
    }

    async fn check(self: Arc<Self>) {
        tokio::time::sleep(STANDSTILL).await;
        self.apply(Schedule::interval_passed);
    }

    fn refuse(&self, requests: VecDeque<Job>, reason: &wasmtime::Error) {
        if requests.is_empty() {
            return;
        }
        let (component, number, error) = (&*self.component, requests.len(), format!("{reason:#}"));
        if !self.is_closed() {
            tracing::error!(
                component,
                requests = number,
                error,
                "no HTTP instance for these requests"
            );
        }
        for job in requests {
            // `send` fails if the caller no longer waits.
            let _ = job.answer.send(Err(wasmtime::Error::new(NoInstance(error.clone()))));
        }
    }

    /// Resolves for one of the instances that await it when a request arrives.
    pub(super) fn arrival(&self) -> Notified<'_> {
        self.arrival.notified()
    }

    /// Wakes the idle instance that became idle last, so that it takes requests. The other
    /// instances remain idle and end if they are not needed.
    pub(super) fn wake_one(&self) {
        self.arrival.notify_last();
    }

    /// Locks the schedule. No other lock of the pool is taken while this one is held.
    fn schedule(&self) -> MutexGuard<'_, Schedule<Job>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One instance of a pool, from the request to create it until this is dropped. It passes what
/// happens to the instance on to the pool.
pub(super) struct InstanceSlot {
    pool: Arc<Pool>,
    instance: Instance,
    _counted: Counted,
    /// Counts the instance from its first request until it has nothing to do.
    work: Option<Counted>,
}

impl InstanceSlot {
    fn new(pool: &Arc<Pool>) -> Self {
        let instance = Instance::new(pool.instance_limits, Instant::now());
        let counted = Counted::new(&pool.gauges.instances);
        Self { pool: pool.clone(), instance, _counted: counted, work: None }
    }

    /// The pool of the instance.
    pub fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// The instance was created.
    pub fn created(&mut self) {
        self.pool.schedule().created();
        self.instance.created(Instant::now());
    }

    /// The instance could not be created. Refuses the requests that cannot be served without it.
    pub fn failed(&mut self, error: &wasmtime::Error) {
        self.instance.failed();
        let refuse = self.pool.schedule().creation_failed().refuse;
        self.pool.refuse(refuse, error);
    }

    /// Takes requests if the guest accepts calls.
    pub fn take(&mut self, accepts_calls: bool) -> Vec<Job> {
        let room = self.instance.room();
        if !accepts_calls || room == 0 {
            return Vec::new();
        }
        let (jobs, actions) = self.pool.schedule().take(room);
        self.pool.perform(actions);
        if !jobs.is_empty() {
            self.work.get_or_insert_with(|| Counted::new(&self.pool.gauges.working));
        }
        let change = self.instance.took(jobs.len(), Instant::now());
        self.pass_on(change);
        jobs
    }

    /// One request was answered, in time or not. This many answered requests have calls that hang.
    pub fn answered(&mut self, in_time: bool, hanging: usize) {
        let change = self.instance.answered(in_time, hanging, Instant::now());
        self.pass_on(change);
    }

    /// The guest has nothing more to do.
    pub fn finished(&mut self, accepts_calls: bool) -> AfterWork {
        self.work = None;
        self.instance.finished(accepts_calls, Instant::now())
    }

    /// The guest was polled.
    pub fn polled(&mut self, progress: Progress) -> Next {
        self.instance.polled(progress, || self.pool.schedule().has_waiting())
    }

    /// When the instance is dropped if nothing happens.
    pub fn deadline(&self) -> Instant {
        self.instance.deadline()
    }

    /// Why the instance is dropped if its deadline passes now.
    pub fn expiry(&self) -> Expiry {
        self.instance.expiry()
    }

    fn pass_on(&self, change: Change) {
        match change {
            Change::Nothing => {}
            Change::Answered => self.pool.schedule().answered(),
            Change::Closed { requests } => self.pool.apply(|schedule| schedule.closed(requests)),
        }
    }
}

impl Drop for InstanceSlot {
    fn drop(&mut self) {
        if self.instance.is_starting() {
            // No other instance is created in its place: when the runtime ends, it drops each new
            // task at once.
            self.failed(&wasmtime::Error::msg("its creation was cancelled"));
        }
        self.pool.schedule().ended();
        self.pass_on(self.instance.ended());
    }
}

#[cfg(test)]
mod tests;
