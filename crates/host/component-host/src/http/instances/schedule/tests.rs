use super::*;

const LIMITS: PoolLimits = PoolLimits {
    requests_at_once_max: 1_000,
    at_once_per_instance_max: 64,
    instances_max: 10,
    parallel: 2,
};

/// A request with a number, and whether its caller no longer waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Request(usize, bool);

impl Waiting for Request {
    fn is_abandoned(&self) -> bool {
        self.1
    }
}

/// A schedule with this number of created instances and of requests that they are handling.
fn schedule(limits: PoolLimits, open: usize, at_work: usize) -> Schedule<Request> {
    Schedule { open, alive: open, at_work, ..Schedule::new(limits) }
}

/// The actions when this number of requests arrives, without those for each single arrival.
fn arrive(schedule: &mut Schedule<Request>, number: usize) -> (usize, usize) {
    let (mut started, mut refused) = (0, 0);
    for id in 0..number {
        let actions = schedule.arrived(Request(id, false));
        assert!(actions.wake);
        started += actions.start;
        refused += actions.refuse.len();
    }
    (started, refused)
}

fn ids(requests: impl IntoIterator<Item = Request>) -> Vec<usize> {
    requests.into_iter().map(|Request(id, _)| id).collect()
}

#[test]
fn the_first_request_starts_the_first_instance() {
    assert_eq!(arrive(&mut schedule(LIMITS, 0, 0), 1), (1, 0));
}

#[test]
fn an_idle_instance_is_enough() {
    assert_eq!(arrive(&mut schedule(LIMITS, 1, 0), 1), (0, 0));
}

#[test]
fn each_processor_gets_an_instance_and_no_more() {
    assert_eq!(arrive(&mut schedule(LIMITS, 1, 1), 1), (1, 0));
    assert_eq!(arrive(&mut schedule(LIMITS, 2, 2), 1), (0, 0));
    assert_eq!(arrive(&mut schedule(LIMITS, 2, 100), 28), (0, 0));
}

#[test]
fn another_is_started_when_none_has_room() {
    assert_eq!(arrive(&mut schedule(LIMITS, 2, 128), 1), (1, 0));
    assert_eq!(arrive(&mut schedule(LIMITS, 2, 100), 29), (1, 0));
    assert_eq!(arrive(&mut schedule(LIMITS, 3, 128), 64), (0, 0));
}

#[test]
fn an_instance_for_a_single_request_is_started_for_each() {
    let limits = PoolLimits { at_once_per_instance_max: 1, ..LIMITS };
    assert_eq!(arrive(&mut schedule(limits, 5, 4), 1), (0, 0));
    assert_eq!(arrive(&mut schedule(limits, 5, 4), 2), (1, 0));
}

#[test]
fn requests_without_room_at_the_limit_of_instances_are_refused() {
    let limits = PoolLimits { at_once_per_instance_max: 1, instances_max: 3, ..LIMITS };
    let mut schedule = schedule(limits, 0, 0);
    assert_eq!(arrive(&mut schedule, 5), (3, 2));
    assert_eq!(schedule.waiting.len(), 3, "each instance that starts has room for one");
}

#[test]
fn requests_with_room_at_the_limit_of_instances_wait() {
    let limits = PoolLimits { at_once_per_instance_max: 4, instances_max: 1, ..LIMITS };
    assert_eq!(arrive(&mut schedule(limits, 0, 0), 5), (1, 1));
}

#[test]
fn an_instance_that_takes_no_more_requests_counts_until_it_ends() {
    let limits = PoolLimits { instances_max: 1, ..LIMITS };
    let mut schedule = schedule(limits, 1, 1);
    assert_eq!(schedule.closed(1).start, 0);
    assert_eq!(arrive(&mut schedule, 1), (0, 1));
    schedule.ended();
    assert_eq!(arrive(&mut schedule, 1), (1, 0));
}

#[test]
fn an_instance_takes_its_fair_share_in_the_order_of_arrival() {
    let mut schedule = schedule(LIMITS, 2, 2);
    arrive(&mut schedule, 5);
    let (taken, actions) = schedule.take(64);
    assert_eq!(ids(taken), [0, 1, 2]);
    assert!(actions.wake, "the other instance takes its share");
    let (taken, _) = schedule.take(1);
    assert_eq!(ids(taken), [3]);
    let (taken, actions) = schedule.take(64);
    assert_eq!(ids(taken), [4]);
    assert!(!actions.wake);
    assert_eq!(schedule.at_work, 7);
}

#[test]
fn abandoned_requests_are_dropped_when_they_are_taken() {
    let mut schedule = schedule(PoolLimits { parallel: 1, ..LIMITS }, 1, 0);
    for id in 0..4 {
        drop(schedule.arrived(Request(id, id % 2 == 0)));
    }
    let (taken, actions) = schedule.take(64);
    assert_eq!((ids(taken), ids(actions.abandoned)), (vec![1, 3], vec![0, 2]));
    assert_eq!(schedule.at_work, 2);
}

#[test]
fn abandoned_requests_are_dropped_when_the_interval_has_passed() {
    let mut schedule = schedule(LIMITS, 1, 0);
    assert!(schedule.arrived(Request(0, false)).check_later);
    assert!(!schedule.arrived(Request(1, true)).check_later, "a check is due");
    let actions = schedule.interval_passed();
    assert_eq!(ids(actions.abandoned), [1]);
    assert!(actions.check_later);
    schedule.waiting[0].1 = true;
    let actions = schedule.interval_passed();
    assert_eq!(ids(actions.abandoned), [0]);
    assert!(!actions.check_later, "no request waits");
    assert!(schedule.arrived(Request(2, false)).check_later);
}

#[test]
fn abandoned_requests_make_place_when_too_many_wait() {
    let limits = PoolLimits { requests_at_once_max: 2, parallel: 1, ..LIMITS };
    let mut schedule = schedule(limits, 1, 0);
    assert!(schedule.arrived(Request(0, true)).abandoned.is_empty());
    assert!(schedule.arrived(Request(1, false)).abandoned.is_empty());
    assert_eq!(ids(schedule.arrived(Request(2, false)).abandoned), [0]);
    assert_eq!(ids(schedule.take(64).0), [1, 2]);
}

#[test]
fn another_instance_is_started_if_no_request_was_taken_in_an_interval() {
    let mut schedule = schedule(LIMITS, 2, 2);
    arrive(&mut schedule, 4);
    assert_eq!(schedule.interval_passed().start, 1);
    assert_eq!(schedule.interval_passed().start, 0, "one is being created");
    schedule.created();
    let _ = schedule.take(1);
    assert_eq!(schedule.interval_passed().start, 0, "a request was taken");
    assert_eq!(schedule.interval_passed().start, 1);
}

#[test]
fn at_the_limit_of_instances_a_standstill_refuses_nothing() {
    let mut schedule = schedule(PoolLimits { instances_max: 2, ..LIMITS }, 2, 2);
    arrive(&mut schedule, 4);
    let actions = schedule.interval_passed();
    assert_eq!((actions.start, actions.refuse.len()), (0, 0));
    assert!(actions.check_later);
}

#[test]
fn a_closed_instance_is_replaced_if_requests_wait() {
    let limits = PoolLimits { at_once_per_instance_max: 2, parallel: 1, ..LIMITS };
    let mut waiting = schedule(limits, 2, 2);
    arrive(&mut waiting, 2);
    let actions = waiting.closed(1);
    assert_eq!((actions.start, actions.refuse.len(), actions.wake), (1, 0, true));
    assert_eq!((waiting.open, waiting.at_work), (2, 1));
    let actions = schedule(limits, 2, 2).closed(1);
    assert_eq!((actions.start, actions.wake), (0, false));
}

#[test]
fn a_closed_instance_without_replacement_has_its_requests_refused() {
    let limits = PoolLimits { at_once_per_instance_max: 2, instances_max: 2, ..LIMITS };
    let mut schedule = schedule(limits, 2, 1);
    arrive(&mut schedule, 3);
    let actions = schedule.closed(0);
    assert_eq!((actions.start, ids(actions.refuse)), (0, vec![1, 2]));
    assert_eq!(schedule.waiting.len(), 1);
}

#[test]
fn an_instance_that_fails_to_start_is_not_replaced() {
    let mut schedule = schedule(LIMITS, 0, 0);
    assert_eq!(arrive(&mut schedule, 2), (2, 0));
    let actions = schedule.creation_failed();
    assert_eq!((actions.start, actions.refuse.len()), (0, 0), "the other has room for both");
    schedule.ended();
    let actions = schedule.creation_failed();
    assert_eq!((actions.start, ids(actions.refuse)), (0, vec![0, 1]));
    schedule.ended();
    assert_eq!(arrive(&mut schedule, 1), (1, 0), "the next request tries again");
}
