//! Tracks what a connection is doing, and the time limit of that.
//!
//! A connection is in one of three states, and each has a limit. In the first, no request is open:
//! before the first request and between two requests, even if some bytes of the next one have
//! arrived. In the second, an answer waits for the client to read it. In the third, a request is
//! being handled, and the limits of requests apply.

use std::sync::atomic::{AtomicU64, Ordering};
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

/// How long a connection may take to close after its shutdown was started.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// The state machine of one connection. The methods are the events.
struct State {
    times: Times,
    requests: Requests,
    socket: Socket,
    stage: Stage,
}

/// The requests that were read and whose answers have not been sent completely.
enum Requests {
    /// There are none. The time is the latest of these: the end of the last request, the last time
    /// that the client read a part of an answer, the start of the connection, and the start of its
    /// shutdown.
    None { since: Instant },
    /// There are some.
    Open {
        number: usize,
        /// The answers with a part that waits to be sent: the id of the request, and since when it
        /// waits.
        sending: Vec<(u64, Instant)>,
    },
}

/// Whether the socket accepts bytes.
#[derive(Clone, Copy)]
enum Socket {
    Writable,
    Blocked { since: Instant },
}

/// Whether the shutdown of the connection was started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Closing,
}

/// What to do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Wait until this time; with `None`, until the state changes.
    Wait(Option<Instant>),
    /// Start its shutdown: it has been idle for too long.
    Close,
    /// Drop it.
    Drop,
}

impl State {
    fn new(times: Times, now: Instant) -> Self {
        let requests = Requests::None { since: now };
        Self { times, requests, socket: Socket::Writable, stage: Stage::Open }
    }

    fn request_read(&mut self) {
        match &mut self.requests {
            Requests::Open { number, .. } => *number += 1,
            Requests::None { .. } => {
                self.requests = Requests::Open { number: 1, sending: Vec::new() };
            }
        }
    }

    fn request_ended(&mut self, request: u64, now: Instant) {
        match &mut self.requests {
            Requests::Open { number: number @ 2.., sending } => {
                *number -= 1;
                sending.retain(|(id, _)| *id != request);
            }
            _ => self.requests = Requests::None { since: now },
        }
    }

    fn part_waits(&mut self, request: u64, waits: bool, now: Instant) {
        if let Requests::Open { sending, .. } = &mut self.requests {
            sending.retain(|(id, _)| *id != request);
            if waits {
                sending.push((request, now));
            }
        }
    }

    fn written(&mut self, accepted: bool, now: Instant) {
        match (self.socket, accepted) {
            (Socket::Writable, false) => self.socket = Socket::Blocked { since: now },
            (Socket::Blocked { .. }, true) => {
                self.socket = Socket::Writable;
                self.restart_idle_time(now);
            }
            (Socket::Writable, true) | (Socket::Blocked { .. }, false) => {}
        }
    }

    fn closing(&mut self, now: Instant) {
        self.stage = Stage::Closing;
        self.restart_idle_time(now);
    }

    fn restart_idle_time(&mut self, now: Instant) {
        if let Requests::None { since } = &mut self.requests {
            *since = now;
        }
    }

    fn due(&self, now: Instant) -> Due {
        let stalled = self.stalled_since().map(|since| since + self.times.send);
        if stalled.is_some_and(|until| until <= now) {
            return Due::Drop;
        }
        let (Requests::None { since }, Socket::Writable) = (&self.requests, self.socket) else {
            return Due::Wait(stalled);
        };
        let (limit, due) = match self.stage {
            Stage::Open => (self.times.head, Due::Close),
            Stage::Closing => (CLOSE_LIMIT, Due::Drop),
        };
        if *since + limit > now { Due::Wait(Some(*since + limit)) } else { due }
    }

    /// Since when the client reads nothing of an answer that waits for it.
    fn stalled_since(&self) -> Option<Instant> {
        let sending = match &self.requests {
            Requests::Open { sending, .. } => sending.iter().map(|(_, since)| *since).min(),
            Requests::None { .. } => None,
        };
        let blocked = match self.socket {
            Socket::Blocked { since } => Some(since),
            Socket::Writable => None,
        };
        sending.into_iter().chain(blocked).min()
    }
}

/// What one connection is doing.
pub(super) struct Activity {
    state: Mutex<State>,
    next_id: AtomicU64,
}

impl Activity {
    /// The activity of a new connection.
    pub fn new(times: Times) -> Arc<Self> {
        let state = State::new(times, Instant::now());
        Arc::new(Self { state: Mutex::new(state), next_id: AtomicU64::new(0) })
    }

    /// A request was read. It is open until the returned value is dropped.
    pub fn request(self: &Arc<Self>) -> OpenRequest {
        self.state().request_read();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        OpenRequest { id, activity: self.clone() }
    }

    /// The socket was written to, and accepted bytes or not.
    pub fn written(&self, accepted: bool) {
        self.state().written(accepted, Instant::now());
    }

    /// The shutdown of the connection was started.
    pub fn closing(&self) {
        self.state().closing(Instant::now());
    }

    /// What to do with the connection now.
    pub fn due(&self, now: Instant) -> Due {
        self.state().due(now)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request whose answer has not been sent completely.
pub(super) struct OpenRequest {
    id: u64,
    activity: Arc<Activity>,
}

impl OpenRequest {
    /// A part of its answer waits to be sent, or everything available has been sent.
    pub fn part_waits(&self, waits: bool) {
        self.activity.state().part_waits(self.id, waits, Instant::now());
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.activity.state().request_ended(self.id, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times = Times { head: Duration::from_secs(10), send: Duration::from_secs(30) };

    /// A new connection, and a function that returns the time after this many seconds.
    fn connection() -> (State, impl Fn(u64) -> Instant) {
        let start = Instant::now();
        (State::new(TIMES, start), move |seconds| start + Duration::from_secs(seconds))
    }

    #[test]
    fn a_connection_without_a_request_is_asked_to_close_and_then_dropped() {
        let (mut state, at) = connection();
        assert_eq!(state.due(at(9)), Due::Wait(Some(at(10))));
        assert_eq!(state.due(at(10)), Due::Close);
        state.closing(at(10));
        assert_eq!(state.due(at(10)), Due::Wait(Some(at(11))));
        assert_eq!(state.due(at(11)), Due::Drop);
    }

    #[test]
    fn an_open_request_has_other_limits() {
        let (mut state, at) = connection();
        state.request_read();
        state.request_read();
        assert_eq!(state.due(at(100)), Due::Wait(None));
        state.request_ended(0, at(100));
        assert_eq!(state.due(at(200)), Due::Wait(None), "one is left");
        state.request_ended(1, at(200));
        assert_eq!(state.due(at(209)), Due::Wait(Some(at(210))));
        assert_eq!(state.due(at(210)), Due::Close);
    }

    #[test]
    fn a_closing_connection_finishes_its_requests() {
        let (mut state, at) = connection();
        state.request_read();
        state.closing(at(5));
        assert_eq!(state.due(at(20)), Due::Wait(None));
        state.request_ended(0, at(20));
        assert_eq!(state.due(at(20)), Due::Wait(Some(at(21))));
        assert_eq!(state.due(at(21)), Due::Drop);
    }

    #[test]
    fn a_client_that_does_not_read_an_answer_is_dropped() {
        let (mut state, at) = connection();
        let (slow, quick) = (0, 1);
        state.request_read();
        state.request_read();
        state.part_waits(slow, true, at(0));
        state.part_waits(quick, true, at(0));
        state.part_waits(quick, false, at(1));
        assert_eq!(state.due(at(29)), Due::Wait(Some(at(30))));
        assert_eq!(state.due(at(30)), Due::Drop, "the quick one does not hide it");
        state.part_waits(slow, false, at(30));
        assert_eq!(state.due(at(60)), Due::Wait(None), "it waits for its component");
    }

    #[test]
    fn the_end_of_an_answer_may_take_as_long_as_the_client_reads() {
        let (mut state, at) = connection();
        state.request_read();
        state.request_ended(0, at(0));
        state.written(false, at(0));
        state.written(false, at(20));
        assert_eq!(state.due(at(29)), Due::Wait(Some(at(30))));
        assert_eq!(state.due(at(30)), Due::Drop);
        state.written(true, at(29));
        assert_eq!(state.due(at(38)), Due::Wait(Some(at(39))));
        assert_eq!(state.due(at(39)), Due::Close);
    }
}
