//! What a connection is busy with, and until when it may be.
//!
//! A connection is in one of three states, and each has a limit: no request is open (also before
//! the first and between two, even if some bytes arrive), an answer waits for the client to read
//! it, or a request is being handled, to which the limits of requests apply.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Limits of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Longest time without a request.
    pub head: Duration,
    /// Longest time in which a client takes nothing of an answer.
    pub send: Duration,
}

/// How long a connection may take to close after it was asked to.
const END_LIMIT: Duration = Duration::from_secs(1);

/// What one connection is busy with.
pub(super) struct Activity {
    times: Times,
    state: Mutex<State>,
}

struct State {
    /// Requests that were read and whose answers are not handed over in full.
    requests: usize,
    /// Since when there is none, or the last sign of a client that reads the answer.
    idle_since: Instant,
    /// Since when the socket takes no bytes.
    blocked_since: Option<Instant>,
    /// Answers of which a part waits to be sent: which, and since when.
    sending: Vec<(u64, Instant)>,
    next_id: u64,
    ending: bool,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Nothing before this time; without one, nothing before something happens.
    Later(Option<Instant>),
    /// Ask it to end: nothing is asked on it.
    End,
    /// Drop it.
    Drop,
}

impl Activity {
    /// Of a new connection.
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

    /// A request was read. It is at work until what this answers is dropped.
    pub fn request(self: &Arc<Self>) -> Work {
        let mut state = self.state();
        state.requests += 1;
        state.next_id += 1;
        Work { id: state.next_id, activity: self.clone() }
    }

    /// The socket took bytes, or did not.
    pub fn wrote(&self, taken: bool) {
        let mut state = self.state();
        if !taken {
            state.blocked_since.get_or_insert_with(Instant::now);
        } else if state.blocked_since.take().is_some() {
            state.idle_since = Instant::now();
        }
    }

    /// The connection was asked to end.
    pub fn ends(&self) {
        let mut state = self.state();
        (state.ending, state.idle_since) = (true, Instant::now());
    }

    /// What to do now.
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

/// A request at work.
pub(super) struct Work {
    id: u64,
    activity: Arc<Activity>,
}

impl Work {
    /// A part of its answer is about to be sent, or all that there was is sent.
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
