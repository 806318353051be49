//! Runs the guest of one instance: passes requests to it concurrently, until it is idle for too
//! long or has failed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, Sleep};
use wasmtime::Store;
use wasmtime::component::Accessor;

use super::chain::Ended;
use super::handlers::Handlers;
use super::instance::{AfterWork, Expiry, Next, Progress};
use super::pool::{InstanceSlot, Job, Pool};
use crate::state::GuestState;

const OVERDUE: &str = "a request took longer than permitted";

/// State that the guest's event loop shares with the code around it.
struct Shared<'a> {
    slot: &'a mut InstanceSlot,
    /// What the poll of the guest has achieved so far.
    progress: Progress,
}

/// What the guest is doing.
#[derive(Default)]
struct Work<'a> {
    /// The requests in progress.
    requests: FuturesUnordered<BoxFuture<'a, wasmtime::Result<Ended<'a>>>>,
    /// The calls for answered requests that have not returned in time.
    hanging: FuturesUnordered<BoxFuture<'a, ()>>,
}

/// Runs the guest until the instance ends.
pub(super) async fn run(
    pool: &Pool,
    slot: &mut InstanceSlot,
    store: &mut Store<GuestState>,
    handlers: &Handlers,
    request_timeout: Duration,
) -> wasmtime::Result<()> {
    let yielded = store.data().yielded.clone();
    let mut timer = Timer::new(slot.deadline());
    let shared = Mutex::new(Shared { slot, progress: Progress::Blocked });
    let mut guest = pin!(store.run_concurrent(async |accessor| {
        let mut work = Work::default();
        poll_fn(|cx| run_guest(cx, accessor, handlers, request_timeout, &shared, &mut work)).await
    }));
    let mut arrival = pin!(pool.arrival());
    poll_fn(|cx| {
        // A busy instance does not await the arrival of a request, which would otherwise wake it
        // instead of an idle one.
        let mut woken = arrival.as_mut().poll(cx).is_ready();
        arrival.set(pool.arrival());
        loop {
            lock(&shared).progress = Progress::Blocked;
            yielded.store(false, Ordering::Relaxed);
            if let Poll::Ready(ended) = guest.as_mut().poll(cx) {
                return Poll::Ready(ended.flatten());
            }
            let mut shared = lock(&shared);
            // This is checked outside the event loop, which may be blocked.
            if timer.poll(cx, shared.slot.deadline()).is_ready() {
                return Poll::Ready(match shared.slot.expiry() {
                    Expiry::Idle => Ok(()),
                    Expiry::Stuck => Err(wasmtime::Error::msg(OVERDUE)),
                });
            }
            let progress = match shared.progress {
                Progress::Settled { .. } if yielded.load(Ordering::Relaxed) => Progress::Computing,
                progress => progress,
            };
            match shared.slot.polled(progress) {
                Next::TakeRequests => {}
                Next::WaitForGuest => {
                    if woken {
                        pool.wake_one();
                    }
                    return Poll::Pending;
                }
                Next::WaitForRequest => {
                    if arrival.as_mut().poll(cx).is_pending() {
                        return Poll::Pending;
                    }
                    woken = true;
                    arrival.set(pool.arrival());
                }
            }
        }
    })
    .await
}

/// One iteration of the guest's event loop: collects answers and starts requests.
fn run_guest<'a>(
    cx: &mut Context<'_>,
    accessor: &'a Accessor<GuestState>,
    handlers: &'a Handlers,
    request_timeout: Duration,
    shared: &Mutex<Shared<'_>>,
    Work { requests, hanging }: &mut Work<'a>,
) -> Poll<wasmtime::Result<()>> {
    let accepts_calls = loop {
        while let Poll::Ready(Some(ended)) = requests.poll_next_unpin(cx) {
            let ended = ended?;
            hanging.extend(ended.hanging);
            lock(shared).slot.answered(ended.in_time, hanging.len());
        }
        while let Poll::Ready(Some(())) = hanging.poll_next_unpin(cx) {}
        let accepts_calls = accessor.poll_ready_for_concurrent_call(handlers.any(), cx).is_ready();
        let jobs = lock(shared).slot.take(accepts_calls);
        if jobs.is_empty() {
            break accepts_calls;
        }
        for job in jobs {
            let Job { request, answer, waiting } = job;
            drop(waiting);
            let expiration = tokio::time::sleep(request_timeout);
            requests.push(handlers.start(accessor, request, answer, expiration)?);
        }
    };
    lock(shared).progress = Progress::Settled { accepts_calls };
    if !requests.is_empty()
        || !hanging.is_empty()
        || accessor.poll_no_interesting_tasks(cx).is_pending()
    {
        return Poll::Pending;
    }
    match lock(shared).slot.finished(accepts_calls) {
        AfterWork::Keep => Poll::Pending,
        AfterWork::End => Poll::Ready(Ok(())),
    }
}

fn lock<'m, 's>(shared: &'m Mutex<Shared<'s>>) -> MutexGuard<'m, Shared<'s>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes the task at the deadline of the instance.
struct Timer(Pin<Box<Sleep>>);

impl Timer {
    fn new(deadline: Instant) -> Self {
        Self(Box::pin(tokio::time::sleep_until(deadline)))
    }

    /// Ready if the deadline has passed.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let Self(sleep) = self;
        // Most requests move the deadline further away. The timer is not reset for that; if it
        // fires too early, it is set again.
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        while sleep.as_mut().poll(cx).is_ready() {
            if sleep.deadline() >= deadline {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}
