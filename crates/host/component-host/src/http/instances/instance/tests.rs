use super::*;

const LIMITS: InstanceLimits = InstanceLimits {
    requests_max: 10,
    at_once_max: 4,
    idle_timeout: Duration::from_secs(10),
    request_timeout: Duration::from_secs(30),
};
const READY: Progress = Progress::Settled { accepts_calls: true };
const FULL: Progress = Progress::Settled { accepts_calls: false };

/// An idle instance, and the time of its creation.
fn idle() -> (Instance, Instant) {
    let now = Instant::now();
    let mut instance = Instance::new(LIMITS, now);
    instance.created(now);
    (instance, now)
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_creation_has_the_time_limit_of_a_request() {
    let now = Instant::now();
    let instance = Instance::new(LIMITS, now);
    assert!(instance.is_starting());
    assert_eq!(instance.deadline(), now + seconds(30));
    assert_eq!(instance.expiry(), Expiry::Stuck);
}

#[test]
fn an_instance_without_requests_ends_after_the_idle_timeout() {
    let (mut instance, now) = idle();
    assert_eq!(instance.finished(true, now + seconds(3)), AfterWork::Keep);
    assert_eq!(instance.deadline(), now + seconds(10), "it was idle before");
    assert_eq!(instance.expiry(), Expiry::Idle);
}

#[test]
fn after_taking_requests_it_takes_more_only_when_the_guest_has_settled() {
    let (mut instance, now) = idle();
    assert_eq!(instance.room(), 4);
    assert_eq!(instance.took(2, now), Change::Nothing);
    assert_eq!(instance.room(), 0);
    for progress in [Progress::Blocked, Progress::Computing] {
        assert_eq!(instance.polled(progress, || true), Next::WaitForGuest);
        assert_eq!(instance.room(), 0, "{progress:?}");
    }
    assert_eq!(instance.polled(READY, || true), Next::TakeRequests);
    assert_eq!(instance.room(), 2);
    assert_eq!(instance.polled(READY, || true), Next::WaitForRequest, "it took none");
}

#[test]
fn it_waits_for_requests_only_with_room_and_a_guest_that_accepts_calls() {
    let (mut instance, now) = idle();
    assert_eq!(instance.polled(READY, || false), Next::WaitForRequest);
    assert_eq!(instance.polled(FULL, || true), Next::WaitForGuest);
    instance.took(4, now);
    assert_eq!(instance.polled(READY, || true), Next::WaitForGuest);
    assert_eq!(instance.answered(true, 0, now), Change::Answered);
    assert_eq!(instance.polled(READY, || false), Next::WaitForRequest);
    assert_eq!(instance.room(), 1);
}

#[test]
fn a_guest_that_settles_without_accepting_calls_may_take_requests_later() {
    let (mut instance, now) = idle();
    instance.took(1, now);
    assert_eq!(instance.polled(FULL, || true), Next::WaitForGuest);
    assert_eq!(instance.room(), 3);
}

#[test]
fn its_last_request_closes_it_and_it_ends_when_the_guest_has_finished() {
    let (mut instance, now) = idle();
    for _ in 0..2 {
        assert_eq!(instance.took(4, now), Change::Nothing);
        (0..4).for_each(|_| assert_eq!(instance.answered(true, 0, now), Change::Answered));
        instance.polled(READY, || false);
    }
    assert_eq!(instance.room(), 2);
    assert_eq!(instance.took(2, now), Change::Closed { requests: 2 });
    assert_eq!(instance.polled(READY, || true), Next::WaitForGuest);
    assert_eq!(instance.room(), 0);
    assert_eq!(instance.answered(true, 0, now), Change::Nothing, "no longer counted");
    assert_eq!(instance.answered(true, 0, now), Change::Nothing);
    assert_eq!(instance.finished(true, now), AfterWork::End);
}

#[test]
fn a_late_request_closes_it_once_and_shortens_the_time_after_the_last_answer() {
    let (mut instance, now) = idle();
    instance.took(3, now);
    assert_eq!(instance.deadline(), now + seconds(31));
    assert_eq!(instance.answered(false, 0, now + seconds(30)), Change::Closed { requests: 3 });
    assert_eq!(instance.deadline(), now + seconds(31), "the others may be answered");
    assert_eq!(instance.answered(false, 0, now + seconds(30)), Change::Nothing);
    assert_eq!(instance.answered(true, 0, now + seconds(30)), Change::Nothing);
    assert_eq!(instance.deadline(), now + seconds(31));
    assert_eq!(instance.expiry(), Expiry::Stuck);
    assert_eq!(instance.finished(true, now), AfterWork::End);
}

#[test]
fn each_request_gives_the_instance_more_time() {
    let (mut instance, now) = idle();
    instance.took(1, now);
    instance.polled(READY, || true);
    instance.took(1, now + seconds(20));
    assert_eq!(instance.deadline(), now + seconds(51));
}

#[test]
fn the_work_after_the_answers_has_a_limit_and_then_it_is_idle() {
    let (mut instance, now) = idle();
    instance.took(1, now);
    instance.answered(true, 0, now + seconds(1));
    assert_eq!(instance.deadline(), now + seconds(32));
    assert_eq!(instance.expiry(), Expiry::Stuck);
    assert_eq!(instance.finished(true, now + seconds(2)), AfterWork::Keep);
    assert_eq!(instance.deadline(), now + seconds(12));
}

#[test]
fn its_end_closes_it_unless_it_is_closed() {
    let (mut instance, now) = idle();
    assert_eq!(instance.ended(), Change::Closed { requests: 0 });
    instance.took(3, now);
    assert_eq!(instance.ended(), Change::Closed { requests: 3 });
    instance.answered(true, 0, now);
    assert_eq!(instance.ended(), Change::Closed { requests: 2 });
    instance.answered(false, 0, now);
    assert_eq!(instance.ended(), Change::Nothing);
    let mut uncreated = Instance::new(LIMITS, now);
    uncreated.failed();
    assert_eq!(uncreated.ended(), Change::Nothing);
    assert!(!uncreated.is_starting());
    assert_eq!(uncreated.room(), 0);
}

#[test]
fn a_guest_that_has_finished_and_accepts_no_calls_ends() {
    let (mut instance, now) = idle();
    assert_eq!(instance.finished(false, now), AfterWork::End);
}

#[test]
fn an_instance_with_many_calls_that_hang_takes_no_more_requests() {
    let (mut instance, now) = idle();
    assert_eq!(instance.took(2, now), Change::Nothing);
    assert_eq!(instance.answered(true, HANGING_MAX, now), Change::Answered);
    instance.polled(READY, || false);
    assert_eq!(instance.room(), 3);
    assert_eq!(instance.answered(true, HANGING_MAX + 1, now), Change::Closed { requests: 1 });
    assert_eq!(instance.room(), 0);
    assert_eq!(instance.deadline(), now + GRACE);
}
