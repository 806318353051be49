//! Calls that share rounds: no call waits for ever, and no call gets the result of another.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use coalesce::{Rounds, Turn};
use futures::FutureExt as _;
use futures::channel::oneshot;
use futures::future::join_all;
use tokio::task::{LocalSet, yield_now};

type Wake = oneshot::Sender<()>;
type Line = Rounds<u32, u32, Wake>;
type Lead<'a> = Turn<'a, u32, u32, Wake>;
type Job = coalesce::Job<u32, u32, Wake>;

fn wake_up() -> (Wake, impl Future<Output = ()>) {
    let (wake, woken) = oneshot::channel();
    (wake, woken.map(drop))
}

/// Answers each job with twice its value.
fn double(jobs: Vec<Job>) {
    for job in jobs {
        let twice = job.job * 2;
        job.answer(twice);
    }
}

#[tokio::test]
async fn calls_that_come_during_a_round_share_the_next() {
    let line = Line::default();
    let rounds = RefCell::new(Vec::new());
    let lead = async |turn: &Lead<'_>| {
        let jobs = turn.jobs();
        rounds.borrow_mut().push(jobs.len());
        yield_now().await;
        double(jobs);
    };
    let answers = join_all((0..9).map(|n| line.join(n, wake_up, lead))).await;
    assert_eq!(answers, (0..9).map(|n| Some(2 * n)).collect::<Vec<_>>());
    assert_eq!(*rounds.borrow(), [1, 8]);
}

#[tokio::test]
async fn rounds_do_not_overlap() {
    let line = Rc::new(Line::default());
    let under_way = Rc::new(Cell::new(0));
    let local = LocalSet::new();
    let calls = (0..200).map(|n| {
        let (line, under_way) = (line.clone(), under_way.clone());
        local.spawn_local(async move {
            for _ in 0..n % 7 {
                yield_now().await;
            }
            let lead = async |turn: &Lead<'_>| {
                assert_eq!(under_way.replace(1), 0);
                let jobs = turn.jobs();
                yield_now().await;
                double(jobs);
                assert_eq!(under_way.replace(0), 1);
            };
            line.join(n, wake_up, lead).await
        })
    });
    let calls: Vec<_> = calls.collect();
    let answers = local.run_until(join_all(calls)).await;
    for (n, answer) in (0..).zip(answers) {
        assert_eq!(answer.unwrap(), Some(2 * n));
    }
}

#[tokio::test]
async fn the_calls_of_a_round_whose_leader_is_cancelled_are_let_go() {
    let line = Line::default();
    let first = line.join(1, wake_up, async |turn: &Lead<'_>| {
        let jobs = turn.jobs();
        yield_now().await;
        double(jobs);
    });
    let mut leader = Box::pin(line.join(2, wake_up, async |turn: &Lead<'_>| {
        // The jobs are dropped together with the leading call.
        let _jobs = turn.jobs();
        std::future::pending::<()>().await;
    }));
    let member = line.join(3, wake_up, async |_: &Lead<'_>| unreachable!("the round has a leader"));
    let late = line.join(4, wake_up, async |turn: &Lead<'_>| double(turn.jobs()));
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
async fn a_call_that_is_cancelled_while_it_waits_is_not_begun_and_passes_its_turn_on() {
    let line = Line::default();
    let begun = RefCell::new(Vec::new());
    let lead = async |turn: &Lead<'_>| {
        let jobs = turn.jobs();
        begun.borrow_mut().extend(jobs.iter().map(|job| job.job));
        yield_now().await;
        double(jobs);
    };
    let mut first = Box::pin(line.join(1, wake_up, lead));
    let mut second = Box::pin(line.join(2, wake_up, lead));
    let mut third = Box::pin(line.join(3, wake_up, lead));
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
async fn a_job_that_nobody_answers_lets_its_call_go() {
    let line = Line::default();
    assert_eq!(line.join(1, wake_up, async |_turn: &Lead<'_>| {}).await, None);
    assert_eq!(line.join(2, wake_up, async |turn: &Lead<'_>| double(turn.jobs())).await, Some(4));
}

#[tokio::test]
async fn a_call_that_is_cancelled_before_it_takes_the_jobs_leaves_them_to_the_next() {
    let line = Line::default();
    let mut leader = Box::pin(line.join(1, wake_up, async |_: &Lead<'_>| {
        std::future::pending::<()>().await;
    }));
    let lead = async |turn: &Lead<'_>| double(turn.jobs());
    let mut waiting = Box::pin(line.join(2, wake_up, lead));
    assert!(futures::poll!(&mut leader).is_pending());
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(leader);
    assert_eq!(waiting.await, Some(4));
}
