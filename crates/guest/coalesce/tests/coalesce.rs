//! Concurrent calls: no call waits for ever, and no call gets the result of another.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use coalesce::{Coalescer, Leadership};
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::join_all;
use tokio::task::{LocalSet, yield_now};

type Wake = oneshot::Sender<()>;
type TestCoalescer = Coalescer<u32, u32, Wake>;
type Lead<'a> = Leadership<'a, u32, u32, Wake>;
type Job = coalesce::Job<u32, u32, Wake>;

fn wake_up() -> (Wake, impl Future<Output = ()>) {
    let (wake, woken) = oneshot::channel();
    (wake, woken.map(drop))
}

/// Completes each job with twice its value.
fn double(jobs: Vec<Job>) {
    for job in jobs {
        let twice = job.job * 2;
        job.complete(twice);
    }
}

#[tokio::test]
async fn calls_that_arrive_during_a_round_share_the_next() {
    let coalescer = TestCoalescer::default();
    let rounds = RefCell::new(Vec::new());
    let lead = async |leadership: &Lead<'_>| {
        let jobs = leadership.jobs();
        rounds.borrow_mut().push(jobs.len());
        yield_now().await;
        double(jobs);
    };
    let answers = join_all((0..9).map(|n| coalescer.submit(n, wake_up, lead))).await;
    assert_eq!(answers, (0..9).map(|n| Some(2 * n)).collect::<Vec<_>>());
    assert_eq!(*rounds.borrow(), [1, 8]);
}

#[tokio::test]
async fn rounds_do_not_overlap() {
    let coalescer = Rc::new(TestCoalescer::default());
    let in_progress = Rc::new(Cell::new(0));
    let local = LocalSet::new();
    let calls = (0..200).map(|n| {
        let (coalescer, in_progress) = (coalescer.clone(), in_progress.clone());
        local.spawn_local(async move {
            for _ in 0..n % 7 {
                yield_now().await;
            }
            let lead = async |leadership: &Lead<'_>| {
                assert_eq!(in_progress.replace(1), 0);
                let jobs = leadership.jobs();
                yield_now().await;
                double(jobs);
                assert_eq!(in_progress.replace(0), 1);
            };
            coalescer.submit(n, wake_up, lead).await
        })
    });
    let calls: Vec<_> = calls.collect();
    let answers = local.run_until(join_all(calls)).await;
    for (n, answer) in (0..).zip(answers) {
        assert_eq!(answer.unwrap(), Some(2 * n));
    }
}

#[tokio::test]
async fn the_other_calls_of_a_round_end_if_its_leader_is_cancelled() {
    let coalescer = TestCoalescer::default();
    let first = coalescer.submit(1, wake_up, async |leadership: &Lead<'_>| {
        let jobs = leadership.jobs();
        yield_now().await;
        double(jobs);
    });
    let mut leader = Box::pin(coalescer.submit(2, wake_up, async |leadership: &Lead<'_>| {
        // The jobs are dropped together with the leading call.
        let _jobs = leadership.jobs();
        std::future::pending::<()>().await;
    }));
    let member =
        coalescer.submit(3, wake_up, async |_: &Lead<'_>| unreachable!("the round has a leader"));
    let late =
        coalescer.submit(4, wake_up, async |leadership: &Lead<'_>| double(leadership.jobs()));
    let mut first = Box::pin(first);
    let (mut member, mut late) = (Box::pin(member), Box::pin(late));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut member).is_pending());
    assert!(futures::poll!(&mut leader).is_pending());
    assert_eq!(first.await, Some(2));
    // The call that arrived last leads the next round, with both jobs.
    assert!(futures::poll!(&mut leader).is_pending());
    assert!(futures::poll!(&mut late).is_pending());
    drop(leader);
    assert_eq!(member.await, None);
    assert_eq!(late.await, Some(8));
}

#[tokio::test]
async fn a_cancelled_call_is_not_executed_and_another_one_leads() {
    let coalescer = TestCoalescer::default();
    let begun = RefCell::new(Vec::new());
    let lead = async |leadership: &Lead<'_>| {
        let jobs = leadership.jobs();
        begun.borrow_mut().extend(jobs.iter().map(|job| job.job));
        yield_now().await;
        double(jobs);
    };
    let mut first = Box::pin(coalescer.submit(1, wake_up, lead));
    let mut second = Box::pin(coalescer.submit(2, wake_up, lead));
    let mut third = Box::pin(coalescer.submit(3, wake_up, lead));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    assert!(futures::poll!(&mut third).is_pending());
    assert_eq!(first.await, Some(2));
    // It was woken to lead, and ends before it does.
    drop(third);
    assert_eq!(second.await, Some(4));
    assert_eq!(*begun.borrow(), [1, 2]);
}

#[tokio::test]
async fn a_call_ends_if_its_job_is_not_completed() {
    let coalescer = TestCoalescer::default();
    assert_eq!(coalescer.submit(1, wake_up, async |_leadership: &Lead<'_>| {}).await, None);
    assert_eq!(
        coalescer.submit(2, wake_up, async |leadership: &Lead<'_>| double(leadership.jobs())).await,
        Some(4)
    );
}

#[tokio::test]
async fn jobs_that_a_cancelled_leader_did_not_take_stay_for_the_next() {
    let coalescer = TestCoalescer::default();
    let mut leader = Box::pin(coalescer.submit(1, wake_up, async |_: &Lead<'_>| {
        std::future::pending::<()>().await;
    }));
    let lead = async |leadership: &Lead<'_>| double(leadership.jobs());
    let mut waiting = Box::pin(coalescer.submit(2, wake_up, lead));
    assert!(futures::poll!(&mut leader).is_pending());
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(leader);
    assert_eq!(waiting.await, Some(4));
}
