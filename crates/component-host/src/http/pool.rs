//! The instances of one HTTP component, and the requests that wait for one.
//!
//! A guest's calls share an instance, so few instances serve many requests: one for each
//! processor, and more only if these have no room left or stand still. Few are warm: their memory is
//! in the processor's caches, and what a guest shares among its calls, such as a connection, is
//! shared by many.

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

/// When no request was taken for this long though some wait, another instance is started: those
/// that are there compute, or wait for a call of the host that lets nothing else run.
const STANDSTILL: Duration = Duration::from_millis(10);

/// The instances of one HTTP component.
pub(super) struct Pool {
    guest: Guest,
    proxy: ProxyPre<GuestState>,
    pub limits: Arc<Limits>,
    /// Requests that an instance serves at all, and at once.
    pub total_max: usize,
    pub at_once_max: usize,
    /// Instances that can compute at once.
    parallel: usize,
    /// Most instances alive at once: the others of the process are for the other components.
    instances_max: usize,
    queue: Mutex<Queue>,
    /// Tells one instance at rest that a request came.
    pushed: Notify,
    /// Whether the server is done: instances then end wherever they are.
    closed: AtomicBool,
}

/// A request that waits for an instance.
pub(super) struct Job {
    pub request: Request,
    /// Where its answer goes.
    pub answer: oneshot::Sender<wasmtime::Result<Response>>,
}

/// What waits, and who could serve it.
#[derive(Default)]
pub(super) struct Queue {
    pub jobs: VecDeque<Job>,
    pub load: Load,
    /// Instances that are being made.
    pub starting: usize,
    /// Instances from their start to their end, also those that take no more requests.
    pub alive: usize,
    /// Whether any job was taken since this was last looked at.
    moved: bool,
    /// Whether anybody looks.
    watched: bool,
}

/// The instances that take requests or are about to, and what they have.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Load {
    pub instances: usize,
    pub at_work: usize,
}

/// Why a request was not begun: no instance could be made for it.
#[derive(Debug, thiserror::Error)]
#[error("no HTTP instance could be made: {0}")]
pub(super) struct NoInstance(String);

/// Why no other instance is started: the component has all that it may have.
#[derive(Debug, thiserror::Error)]
#[error("the component has {0} instances, which is its share of the process's instances")]
struct NoShare(usize);

/// Why a request has no answer: its instance broke.
#[derive(Debug, thiserror::Error)]
#[error("the instance that served the request broke")]
pub(super) struct Broken;

impl Pool {
    /// The pool of one of so many components of the process. Fails if the component exports no
    /// HTTP handler of WASI 0.2 or 0.3.
    pub fn new(guest: &Guest, limits: &Arc<Limits>, components: usize) -> Result<Arc<Self>, Error> {
        let proxy = proxy(guest)?;
        let required = guest.pre().component().resources_required();
        let memories = required.map_or(1, |required| required.num_memories);
        // A handler of WASI 0.2 serves one request in its life.
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

    /// Has an instance answer a request.
    pub async fn handle(self: &Arc<Self>, request: Request) -> wasmtime::Result<Response> {
        let (answer, answered) = oneshot::channel();
        self.push(Job { request, answer });
        answered.await.map_err(|_| wasmtime::Error::new(Broken))?
    }

    /// From now on an instance that ends in mid-way is no failure.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// A new instance.
    pub async fn instantiate(&self) -> wasmtime::Result<(Store<GuestState>, Proxy)> {
        let mut store = self.guest.store();
        let made = self.proxy.instantiate_async(&mut store);
        let limit = self.limits.request_timeout;
        let late = |_| wasmtime::Error::msg(format!("it was not ready within {limit:?}"));
        let proxy = tokio::time::timeout(limit, made).await.map_err(late)??;
        Ok((store, proxy))
    }

    /// Tells of an instance that broke.
    pub fn broke(&self, error: &wasmtime::Error) {
        if !self.closed.load(Ordering::Relaxed) {
            let component = self.guest.id();
            tracing::error!(component, error = format!("{error:#}"), "an HTTP instance failed");
        }
    }

    /// Waits until a request comes.
    pub fn next_push(&self) -> Notified<'_> {
        self.pushed.notified()
    }

    /// Has another instance at rest look whether there is a request: the one that rested least, so
    /// that those that are not needed come to their end.
    pub fn wake_one(&self) {
        self.pushed.notify_last();
    }

    fn push(self: &Arc<Self>, job: Job) {
        let mut queue = self.queue();
        // Those whose callers wait are fewer: the callers are counted.
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

    /// An instance's fair share of what waits, at most so many, without those whose callers went
    /// away.
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

    /// Whether one more instance is wanted for what waits.
    pub fn wants_another(&self, queue: &Queue) -> bool {
        queue.load.wants_another(queue.jobs.len(), self.parallel, self.at_once_max)
    }

    /// Starts an instance, unless the component has as many as it may have.
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

    /// Drops the requests whose callers went away, and starts another instance whenever those that
    /// are there stand still, until nothing waits.
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

    /// Answers those that would need another instance than the component may have.
    pub fn refuse_beyond_share(&self) {
        self.refuse(&wasmtime::Error::new(NoShare(self.instances_max)));
    }

    /// Answers those that have no place with the instances that are there.
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
            // Whoever does not wait any more needs no answer.
            let _ = job.answer.send(Err(wasmtime::Error::new(NoInstance(error.clone()))));
        }
    }

    /// What waits. Nothing else of ours is locked while this is.
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

/// The instances that one of so many components may have, each with so many memories.
fn share(instances_max: u32, components: usize, memories: u32) -> usize {
    let instances = usize::try_from(instances_max / memories.max(1)).unwrap_or(usize::MAX);
    (instances / components.max(1)).max(1)
}

impl Queue {
    /// Takes the requests whose callers went away. To be dropped once the queue is not locked.
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
    /// Whether one more instance is wanted for so many that wait: until each processor has one,
    /// and when those that are there have no room.
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
