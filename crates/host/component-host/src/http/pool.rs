//! The instances of one HTTP component, and the requests that wait for one.
//!
//! An instance handles several calls concurrently, so few instances serve many requests: one for
//! each processor, and more only if these are at their limit of requests or make no progress. With
//! few instances their memory stays in the processor's caches, and what a guest shares among its
//! calls, such as a connection, is shared by more requests.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::available_parallelism;
use std::time::Duration;

use futures::channel::oneshot;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use wasmtime::Store;
use wasmtime_wasi_http::handler::{Proxy, ProxyPre, Request, Response};

use super::worker;
use crate::guest::Guest;
use crate::state::GuestState;
use crate::{Error, Limits};

/// If no request was taken for this long although some are waiting, another instance is started:
/// the existing ones are computing, or wait for a host call during which no other call can run.
const STANDSTILL: Duration = Duration::from_millis(10);

/// The instances of one HTTP component.
pub(super) struct Pool {
    guest: Guest,
    proxy: ProxyPre<GuestState>,
    pub limits: Arc<Limits>,
    /// The most requests that an instance serves in its life, and the most that it serves at once.
    pub total_max: usize,
    pub at_once_max: usize,
    /// Number of instances that can compute at the same time.
    parallel: usize,
    /// The most instances of this component at once. The rest of the limit of the process is for
    /// other components.
    instances_max: usize,
    queue: Mutex<Queue>,
    /// Wakes one idle instance when a request arrives.
    pushed: Notify,
    /// Whether the server has ended. Instances may then end at any time.
    closed: AtomicBool,
}

/// A request that waits for an instance.
pub(super) struct Job {
    pub request: Request,
    /// The channel for its answer.
    pub answer: oneshot::Sender<wasmtime::Result<Response>>,
}

/// The requests that wait, and the number of instances that could serve them.
#[derive(Default)]
pub(super) struct Queue {
    pub jobs: VecDeque<Job>,
    pub load: Load,
    /// Instances that are being created.
    pub starting: usize,
    /// Instances between their start and their end, including those that take no more requests.
    pub alive: usize,
    /// Whether a job was taken since the last check for a standstill.
    moved: bool,
    /// Whether the task that checks for a standstill is running.
    watched: bool,
}

/// The instances that take requests or are being created, and the requests that they are handling.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Load {
    pub instances: usize,
    pub at_work: usize,
}

/// Why a request was not started: no instance could be created for it.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP instance could be made: {0}")]
pub(super) struct NoInstance(String);

/// Why no other instance is started: the component has reached its limit.
#[derive(Debug, thiserror::Error)]
#[error("the component has {0} instances, which is its share of the process's instances")]
struct NoShare(usize);

/// Why a request has no answer: its instance failed.
#[derive(Debug, thiserror::Error)]
#[error("the instance that served the request broke")]
pub(super) struct Broken;

impl Pool {
    /// Creates the pool of one component of a process with this number of components. Fails if the
    /// component exports no HTTP handler of WASI 0.2 or 0.3.
    pub fn new(guest: &Guest, limits: &Arc<Limits>, components: usize) -> Result<Arc<Self>, Error> {
        let proxy = proxy(guest)?;
        let required = guest.pre().component().resources_required();
        let memories = required.map_or(1, |required| required.num_memories);
        // An instance with a handler of WASI 0.2 serves a single request.
        let (total_max, at_once_max) = match &proxy {
            ProxyPre::P3(_) => {
                (limits.requests_per_instance_max, limits.requests_at_once_per_instance_max)
            }
            ProxyPre::P2(_) => (1, 1),
        };
        Ok(Arc::new(Self {
            guest: guest.clone(),
            proxy,
            limits: limits.clone(),
            total_max,
            at_once_max,
            parallel: available_parallelism().map_or(1, usize::from),
            instances_max: share(limits.instances_max, components, memories),
            queue: Mutex::default(),
            pushed: Notify::new(),
            closed: AtomicBool::new(false),
        }))
    }

    /// Passes a request to an instance and waits for the answer.
    pub async fn handle(self: &Arc<Self>, request: Request) -> wasmtime::Result<Response> {
        let (answer, answered) = oneshot::channel();
        self.push(Job { request, answer });
        answered.await.map_err(|_| wasmtime::Error::new(Broken))?
    }

    /// From now on, an instance that ends before it has answered is not logged as a failure.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Creates an instance.
    pub async fn instantiate(&self) -> wasmtime::Result<(Store<GuestState>, Proxy)> {
        let mut store = self.guest.store();
        let made = self.proxy.instantiate_async(&mut store);
        let limit = self.limits.request_timeout;
        let late = |_| wasmtime::Error::msg(format!("it was not ready within {limit:?}"));
        let proxy = tokio::time::timeout(limit, made).await.map_err(late)??;
        Ok((store, proxy))
    }

    /// Logs the failure of an instance.
    pub fn broke(&self, error: &wasmtime::Error) {
        if !self.closed.load(Ordering::Relaxed) {
            let component = self.guest.id();
            tracing::error!(component, error = format!("{error:#}"), "an HTTP instance failed");
        }
    }

    /// Waits until a request arrives.
    pub fn next_push(&self) -> Notified<'_> {
        self.pushed.notified()
    }

    /// Wakes the idle instance that became idle last, so that it checks for requests. The other
    /// instances remain idle and end if they are not needed.
    pub fn wake_one(&self) {
        self.pushed.notify_last();
    }

    fn push(self: &Arc<Self>, job: Job) {
        let mut queue = self.queue();
        // Fewer requests than this have callers that still wait: the number of callers is limited.
        let full = queue.jobs.len() >= self.limits.requests_at_once_max;
        let abandoned = if full { queue.take_abandoned() } else { VecDeque::new() };
        queue.jobs.push_back(job);
        let has_places = !self.wants_another(&queue) || self.start(&mut queue);
        if !queue.watched {
            (queue.watched, queue.moved) = (true, false);
            tokio::spawn(self.clone().watch());
        }
        drop(queue);
        drop(abandoned);
        if !has_places {
            self.refuse_beyond_share();
        }
        self.wake_one();
    }

    /// Takes an instance's fair share of the waiting requests, at most `places`. Requests whose
    /// callers have gone away are dropped.
    pub fn take(&self, places: usize) -> Vec<Job> {
        let mut queue = self.queue();
        let share = queue.jobs.len().div_ceil(queue.load.instances.max(1)).min(places);
        let taken = queue.jobs.drain(..share);
        let (jobs, stale): (Vec<Job>, Vec<Job>) = taken.partition(|job| !job.answer.is_canceled());
        queue.load.at_work += jobs.len();
        queue.moved |= share > 0;
        let left = !queue.jobs.is_empty();
        drop(queue);
        drop(stale);
        if left {
            self.wake_one();
        }
        jobs
    }

    /// Whether another instance should be started for the waiting requests.
    pub fn wants_another(&self, queue: &Queue) -> bool {
        queue.load.wants_another(queue.jobs.len(), self.parallel, self.at_once_max)
    }

    /// Starts an instance. Returns `false` if the component has reached its limit.
    pub fn start(self: &Arc<Self>, queue: &mut Queue) -> bool {
        if queue.alive >= self.instances_max {
            return false;
        }
        queue.load.instances += 1;
        queue.starting += 1;
        queue.alive += 1;
        tokio::spawn(worker::run(self.clone()));
        true
    }

    /// Drops the requests whose callers have gone away, and starts another instance whenever no
    /// request was taken for [`STANDSTILL`]. Ends when no request is waiting.
    async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(STANDSTILL).await;
            let mut queue = self.queue();
            let abandoned = queue.take_abandoned();
            if queue.jobs.is_empty() {
                queue.watched = false;
                return;
            }
            if !std::mem::take(&mut queue.moved) && queue.starting == 0 {
                self.start(&mut queue);
            }
            drop(queue);
            drop(abandoned);
        }
    }

    /// Refuses the waiting requests that the permitted number of instances cannot serve.
    pub fn refuse_beyond_share(&self) {
        self.refuse(&wasmtime::Error::new(NoShare(self.instances_max)));
    }

    /// Refuses the waiting requests that the existing instances cannot serve.
    pub fn refuse(&self, error: &wasmtime::Error) {
        let mut queue = self.queue();
        let Load { instances, at_work } = queue.load;
        let places = instances.saturating_mul(self.at_once_max).saturating_sub(at_work);
        let kept = queue.jobs.len().min(places);
        let refused = queue.jobs.split_off(kept);
        drop(queue);
        if refused.is_empty() {
            return;
        }
        let (component, requests, error) = (self.guest.id(), refused.len(), format!("{error:#}"));
        tracing::error!(component, requests, error, "no HTTP instance for these requests");
        for job in refused {
            // `send` fails if the caller has gone away.
            let _ = job.answer.send(Err(wasmtime::Error::new(NoInstance(error.clone()))));
        }
    }

    /// Locks the queue. No other lock of the pool is taken while this one is held.
    pub fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn proxy(guest: &Guest) -> Result<ProxyPre<GuestState>, Error> {
    let pre = guest.pre().clone();
    if let Ok(service) = wasmtime_wasi_http::p3::bindings::ServicePre::new(pre.clone()) {
        return Ok(ProxyPre::P3(service));
    }
    match wasmtime_wasi_http::p2::bindings::ProxyPre::new(pre) {
        Ok(proxy) => Ok(ProxyPre::P2(proxy)),
        Err(_) => Err(Error::Guest {
            component: guest.id().into(),
            message: "it has an HTTP trigger but exports neither wasi:http/handler@0.3 nor \
                      wasi:http/incoming-handler@0.2"
                .into(),
        }),
    }
}

/// The most instances of one of this many components, if each instance has this many memories.
fn share(instances_max: u32, components: usize, memories: u32) -> usize {
    let instances = usize::try_from(instances_max / memories.max(1)).unwrap_or(usize::MAX);
    (instances / components.max(1)).max(1)
}

impl Queue {
    /// Takes the requests whose callers have gone away. They must be dropped after the queue is
    /// unlocked.
    fn take_abandoned(&mut self) -> VecDeque<Job> {
        if !self.jobs.iter().any(|job| job.answer.is_canceled()) {
            return VecDeque::new();
        }
        let jobs = std::mem::take(&mut self.jobs).into_iter();
        let (abandoned, jobs) = jobs.partition(|job| job.answer.is_canceled());
        self.jobs = jobs;
        abandoned
    }
}

impl Load {
    /// Whether another instance should be started for this many waiting requests: until there is
    /// one for each processor, and when the existing ones cannot serve them.
    fn wants_another(self, waiting: usize, parallel: usize, at_once_max: usize) -> bool {
        let requests = self.at_work + waiting;
        requests > self.instances.saturating_mul(at_once_max)
            || (self.instances < parallel && requests > self.instances)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Empty};

    use super::*;

    fn wants(instances: usize, at_work: usize, waiting: usize) -> bool {
        Load { instances, at_work }.wants_another(waiting, 2, 64)
    }

    fn job() -> (Job, oneshot::Receiver<wasmtime::Result<Response>>) {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let (answer, answered) = oneshot::channel();
        (Job { request: Request::new(body), answer }, answered)
    }

    #[test]
    fn requests_whose_callers_went_away_leave_the_queue() {
        let (first, waiting) = job();
        let (second, gone) = job();
        let (third, also_waiting) = job();
        let mut queue = Queue { jobs: [first, second, third].into(), ..Queue::default() };
        assert!(queue.take_abandoned().is_empty());
        drop(gone);
        assert_eq!(queue.take_abandoned().len(), 1);
        assert_eq!(queue.jobs.len(), 2);
        drop(waiting);
        drop(also_waiting);
        assert_eq!(queue.take_abandoned().len(), 2);
        assert!(queue.jobs.is_empty());
    }

    #[test]
    fn the_components_share_the_instances_of_the_process() {
        assert_eq!(share(1_000, 1, 1), 1_000);
        assert_eq!(share(1_000, 4, 1), 250);
        assert_eq!(share(1_000, 4, 5), 50, "each memory counts");
        assert_eq!(share(1_000, 1, 0), 1_000);
        assert_eq!(share(1, 4, 2), 1, "each can have one");
    }

    #[test]
    fn the_first_request_starts_the_first_instance() {
        assert!(wants(0, 0, 1));
    }

    #[test]
    fn an_instance_at_rest_is_enough() {
        assert!(!wants(1, 0, 1));
    }

    #[test]
    fn each_processor_gets_an_instance_and_no_more() {
        assert!(wants(1, 1, 1));
        assert!(!wants(2, 2, 1));
        assert!(!wants(2, 100, 28));
    }

    #[test]
    fn one_is_started_when_none_has_room() {
        assert!(wants(2, 128, 1));
        assert!(wants(2, 100, 29));
        assert!(!wants(3, 128, 64));
    }

    #[test]
    fn one_that_serves_a_single_request_is_started_for_each() {
        let load = Load { instances: 5, at_work: 4 };
        assert!(!load.wants_another(1, 2, 1));
        assert!(load.wants_another(2, 2, 1));
    }
}
