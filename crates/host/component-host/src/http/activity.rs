//! Tracks what a connection is doing, and the time limit of that.
//!
//! A connection is in one of three states, and each has a limit. In the first, no request is open:
//! before the first request and between two requests, even if some bytes of the next one have
//! arrived. In the second, an answer waits for the client to read it. In the third, a request is
//! being handled, and the limits of requests apply.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// The longest time without a request.
    pub head: Duration,
    /// The longest time in which a client reads nothing of an answer.
    pub send: Duration,
}

/// How long a connection may take to close after it was asked to.
const END_LIMIT: Duration = Duration::from_secs(1);

/// The state of one connection.
pub(super) struct Activity {
    times: Times,
    state: Mutex<State>,
}

struct State {
    /// Number of requests that were read and whose answers have not been sent completely.
    requests: usize,
    /// Since when there are no requests, or the last time when the client was seen reading the
    /// answer.
    idle_since: Instant,
    /// Since when the socket accepts no bytes.
    blocked_since: Option<Instant>,
    /// The answers of which a part waits to be sent: the number of the answer, and since when.
    sending: Vec<(u64, Instant)>,
    next_id: u64,
    ending: bool,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this time; with `None`, nothing before the state changes.
    Later(Option<Instant>),
    /// Ask it to close: it has been idle for too long.
    End,
    /// Drop it.
    Drop,
}

impl Activity {
    /// The state of a new connection.
    pub fn new(times: Times) -> Arc<Self> {
        let state = State {
            requests: 0,
            idle_since: Instant::now(),
            blocked_since: None,
            sending: Vec::new(),
            next_id: 0,
            ending: false,
        };
        Arc::new(Self { times, state: Mutex::new(state) })
    }

    /// Notes that a request was read. It is in progress until the returned value is dropped.
    pub fn request(self: &Arc<Self>) -> Work {
        let mut state = self.state();
        state.requests += 1;
        state.next_id += 1;
        Work { id: state.next_id, activity: self.clone() }
    }

    /// Notes whether the socket accepted bytes.
    pub fn wrote(&self, taken: bool) {
        let mut state = self.state();
        if !taken {
            state.blocked_since.get_or_insert_with(Instant::now);
        } else if state.blocked_since.take().is_some() {
            state.idle_since = Instant::now();
        }
    }

    /// Notes that the connection was asked to close.
    pub fn ends(&self) {
        let mut state = self.state();
        (state.ending, state.idle_since) = (true, Instant::now());
    }

    /// What to do with the connection now.
    pub fn due(&self, now: Instant) -> Due {
        let state = self.state();
        let stalled = state.sending.iter().map(|(_, since)| *since).chain(state.blocked_since);
        let stalled = stalled.min().map(|since| since + self.times.send);
        if stalled.is_some_and(|until| until <= now) {
            return Due::Drop;
        }
        if state.requests > 0 || state.blocked_since.is_some() {
            return Due::Later(stalled);
        }
        let limit = if state.ending { END_LIMIT } else { self.times.head };
        match (state.idle_since + limit, state.ending) {
            (until, _) if until > now => Due::Later(Some(until)),
            (_, false) => Due::End,
            (_, true) => Due::Drop,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in progress.
pub(super) struct Work {
    id: u64,
    activity: Arc<Activity>,
}

impl Work {
    /// Notes that a part of its answer is about to be sent, or that everything available has been
    /// sent.
    pub fn sends(&self, part: bool) {
        let mut state = self.activity.state();
        state.sending.retain(|(id, _)| *id != self.id);
        if part {
            state.sending.push((self.id, Instant::now()));
        }
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        let mut state = self.activity.state();
        state.sending.retain(|(id, _)| *id != self.id);
        state.requests = state.requests.saturating_sub(1);
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { head: Duration::from_secs(10), send: Duration::from_secs(30) };

    /// The state of the limits after this many seconds.
    fn after(seconds: u64, activity: &Activity) -> Due {
        activity.due(Instant::now() + Duration::from_secs(seconds))
    }

    fn in_time(due: Due) -> bool {
        matches!(due, Due::Later(_))
    }

    #[test]
    fn a_connection_without_a_request_is_asked_to_end_and_then_dropped() {
        let activity = Activity::new(TIMES);
        assert!(in_time(after(9, &activity)));
        assert_eq!(after(10, &activity), Due::End);
        activity.ends();
        assert!(in_time(after(0, &activity)));
        assert_eq!(after(1, &activity), Due::Drop);
    }

    #[test]
    fn a_request_at_work_has_limits_of_its_own() {
        let activity = Activity::new(TIMES);
        let works = [activity.request(), activity.request()];
        assert_eq!(after(100, &activity), Due::Later(None));
        drop(works);
        assert_eq!(after(10, &activity), Due::End);
    }

    #[test]
    fn an_answer_that_nobody_takes_ends_the_connection() {
        let activity = Activity::new(TIMES);
        let (slow, quick) = (activity.request(), activity.request());
        slow.sends(true);
        quick.sends(true);
        quick.sends(false);
        assert!(in_time(after(29, &activity)));
        assert_eq!(after(30, &activity), Due::Drop, "the quick one does not hide it");
        slow.sends(false);
        assert_eq!(after(30, &activity), Due::Later(None), "it waits for its component");
    }

    #[test]
    fn the_end_of_an_answer_may_take_as_long_as_the_client_reads() {
        let activity = Activity::new(TIMES);
        drop(activity.request());
        activity.wrote(false);
        assert!(in_time(after(29, &activity)));
        assert_eq!(after(30, &activity), Due::Drop);
        activity.wrote(true);
        assert!(in_time(after(9, &activity)));
        assert_eq!(after(10, &activity), Due::End);
    }
}
