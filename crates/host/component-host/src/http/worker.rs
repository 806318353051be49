//! One instance: takes requests, handles them concurrently, and ends when it is idle or has failed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, Sleep};
use wasmtime::component::{Accessor, Func};
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::WasiHttpView as _;
use wasmtime_wasi_http::handler::{Prepared, Proxy};

use super::pool::{Job, Pool};
use super::seat::Seat;
use crate::Limits;
use crate::state::GuestState;

/// How long an instance is kept after a request exceeded its deadline, so that its other requests
/// can be answered. The time is short, because the guest may be in an endless loop.
const GRACE: Duration = Duration::from_secs(1);

const OVERDUE: &str = "a request took longer than it may";

/// Creates an instance and runs it until it ends.
pub(super) async fn run(pool: Arc<Pool>) {
    let mut seat = Seat::new(&pool);
    let (mut store, proxy) = match pool.instantiate().await {
        Ok(made) => made,
        Err(error) => return seat.failed(&error),
    };
    seat.made();
    if let Err(error) = serve(&pool, &mut seat, &mut store, &proxy).await {
        pool.broke(&error);
    }
}

/// State that the guest's event loop shares with the code around it.
struct Shared<'a> {
    seat: &'a mut Seat,
    phase: Phase,
    since: Instant,
    /// Whether the guest accepts calls.
    ready: bool,
    /// Whether the event loop completed an iteration. A host call may prevent that.
    turned: bool,
    /// Whether requests may be taken: only after the guest has made all possible progress with
    /// those that were taken before.
    may_take: bool,
    /// Whether a request exceeded its deadline.
    late: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// There are no requests.
    Idle,
    /// Requests wait for their answers.
    Requests,
    /// All requests are answered, and the guest still has work to do.
    PostReturn,
}

/// A request in progress; resolves to whether it was answered in time.
type UnderWay<'a> = BoxFuture<'a, wasmtime::Result<bool>>;

async fn serve(
    pool: &Pool,
    seat: &mut Seat,
    store: &mut Store<GuestState>,
    proxy: &Proxy,
) -> wasmtime::Result<()> {
    let gave_way = store.data().gave_way.clone();
    let shared = Mutex::new(Shared::new(seat));
    let mut guest = pin!(store.run_concurrent(async |accessor| {
        let mut requests = FuturesUnordered::new();
        let timeout = pool.limits.request_timeout;
        poll_fn(|cx| turn(cx, accessor, proxy, timeout, &shared, &mut requests)).await
    }));
    let mut pushed = pin!(pool.next_push());
    let mut end = End::new(&pool.limits);
    poll_fn(|cx| {
        // While the instance is working, a request must not wake it instead of an idle one.
        let mut woken = pushed.as_mut().poll(cx).is_ready();
        pushed.set(pool.next_push());
        loop {
            lock(&shared).turned = false;
            gave_way.store(false, Ordering::Relaxed);
            if let Poll::Ready(result) = guest.as_mut().poll(cx) {
                return Poll::Ready(result.flatten());
            }
            let mut shared = lock(&shared);
            // This is checked outside the event loop, which may be blocked.
            if end.poll(cx, &shared).is_ready() {
                return Poll::Ready(match shared.phase {
                    Phase::Idle => Ok(()),
                    Phase::Requests | Phase::PostReturn => Err(wasmtime::Error::msg(OVERDUE)),
                });
            }
            let at_rest = shared.turned && !gave_way.load(Ordering::Relaxed);
            let took = at_rest && !std::mem::replace(&mut shared.may_take, true);
            if !(at_rest && shared.ready && shared.seat.has_room()) {
                if woken {
                    pool.wake_one();
                }
                return Poll::Pending;
            }
            if took && shared.seat.is_wanted() {
                continue;
            }
            if pushed.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            woken = true;
            pushed.set(pool.next_push());
        }
    })
    .await
}

/// One iteration of the guest's event loop.
fn turn<'a>(
    cx: &mut Context<'_>,
    accessor: &'a Accessor<GuestState>,
    proxy: &'a Proxy,
    timeout: Duration,
    shared: &Mutex<Shared<'_>>,
    requests: &mut FuturesUnordered<UnderWay<'a>>,
) -> Poll<wasmtime::Result<()>> {
    lock(shared).turned = true;
    loop {
        while let Poll::Ready(Some(in_time)) = requests.poll_next_unpin(cx) {
            let in_time = in_time?;
            lock(shared).answered(in_time, requests.is_empty());
        }
        let ready = accessor.poll_ready_for_concurrent_call(handler(proxy), cx).is_ready();
        let jobs = lock(shared).take(ready);
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            requests.push(begin(accessor, proxy, timeout, job)?);
        }
    }
    if !requests.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending() {
        return Poll::Pending;
    }
    let mut shared = lock(shared);
    if !shared.ready || !shared.seat.is_open() {
        return Poll::Ready(Ok(()));
    }
    shared.enter(Phase::Idle);
    Poll::Pending
}

fn begin<'a>(
    accessor: &'a Accessor<GuestState>,
    proxy: &'a Proxy,
    timeout: Duration,
    job: Job,
) -> wasmtime::Result<UnderWay<'a>> {
    let Job { request, answer } = job;
    let prepared = accessor.with(|mut store| {
        Prepared::new(store.as_context_mut(), proxy, request, GuestState::http, answer)
    })?;
    Ok(Box::pin(prepared.run(accessor, tokio::time::sleep(timeout))))
}

fn handler(proxy: &Proxy) -> Func {
    match proxy {
        Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
        Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
    }
}

fn lock<'m, 's>(shared: &'m Mutex<Shared<'s>>) -> MutexGuard<'m, Shared<'s>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Shared<'a> {
    fn new(seat: &'a mut Seat) -> Self {
        Self {
            seat,
            phase: Phase::Idle,
            since: Instant::now(),
            ready: true,
            turned: false,
            may_take: true,
            late: false,
        }
    }

    fn take(&mut self, ready: bool) -> Vec<Job> {
        self.ready = ready;
        if !ready || !self.may_take {
            return Vec::new();
        }
        let jobs = self.seat.take();
        if !jobs.is_empty() {
            self.may_take = false;
            self.phase = Phase::Requests;
            self.since = Instant::now();
        }
        jobs
    }

    fn answered(&mut self, in_time: bool, all: bool) {
        self.seat.done();
        if !in_time {
            self.late = true;
            self.seat.close();
        }
        if all {
            self.enter(Phase::PostReturn);
        }
    }

    fn enter(&mut self, phase: Phase) {
        if self.phase != phase {
            self.phase = phase;
            self.since = Instant::now();
        }
    }
}

/// Determines when an instance is dropped: when it has been idle for long enough, or when a request
/// has exceeded its deadline and is stuck.
struct End {
    idle_timeout: Duration,
    request_timeout: Duration,
    sleep: Pin<Box<Sleep>>,
}

impl End {
    fn new(limits: &Limits) -> Self {
        Self {
            idle_timeout: limits.idle_instance_timeout,
            request_timeout: limits.request_timeout,
            sleep: Box::pin(tokio::time::sleep(limits.idle_instance_timeout)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, shared: &Shared<'_>) -> Poll<()> {
        let deadline = shared.since
            + match shared.phase {
                Phase::Idle => self.idle_timeout,
                Phase::PostReturn if shared.late => GRACE,
                Phase::Requests | Phase::PostReturn => self.request_timeout + GRACE,
            };
        // Most requests move the deadline further away. The timer is not reset for that; if it
        // fires too early, it is set again.
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
