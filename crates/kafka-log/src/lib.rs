//! Writes what librdkafka reports to our log, and says after which errors a producer is replaced.
//!
//! A client that cannot reach its brokers tries on many times a second and reports every
//! failure. An error is therefore logged when it first happens, then once in [`QUIET`] with the
//! number of times that it happened meanwhile. An error without a cause of its own names the
//! last connection that failed.

mod ended;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

pub use ended::{ends_producer, is_replaced_after};

/// An error that repeats is logged again after this time.
pub const QUIET: Duration = Duration::from_secs(30);

/// The facility of librdkafka's log lines about connections that fail.
const CONNECTION_FAILED: &str = "FAIL";

/// The log of one Kafka client.
#[derive(Debug, Default)]
pub struct ClientLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What librdkafka said about the last connection that failed; it names the address.
    failed_connection: String,
    /// By the number of their code.
    errors: HashMap<Option<i32>, Repeated>,
}

/// An error that was logged.
#[derive(Debug)]
struct Repeated {
    logged: Instant,
    /// Times that it happened since.
    since: u32,
}

impl State {
    /// Whether the error is to be logged now, and how often it happened since it last was.
    fn admit(&mut self, code: Option<RDKafkaErrorCode>, now: Instant) -> Option<u32> {
        let code = code.map(|code| code as i32);
        let Some(repeated) = self.errors.get_mut(&code) else {
            self.errors.insert(code, Repeated { logged: now, since: 0 });
            return Some(0);
        };
        if now.duration_since(repeated.logged) < QUIET {
            repeated.since = repeated.since.saturating_add(1);
            return None;
        }
        repeated.logged = now;
        Some(std::mem::take(&mut repeated.since))
    }
}

impl ClientLog {
    /// A log line of librdkafka, as `ClientContext::log` gets it.
    pub fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // Reported by `error`, too.
            _ if facility == CONNECTION_FAILED => {
                message.clone_into(&mut self.lock().failed_connection);
                tracing::debug!(facility, message, "librdkafka");
            }
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(facility, message, "librdkafka"),
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }

    /// An error of the client, as `ClientContext::error` gets it.
    pub fn error(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        // A consumer that asks for this event also gets it from its queue.
        if code == Some(RDKafkaErrorCode::PartitionEOF) {
            return;
        }
        let mut state = self.lock();
        let Some(repeated) = state.admit(code, Instant::now()) else { return };
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            let cause = state.failed_connection.as_str();
            tracing::warn!(cause, repeated, "no Kafka broker can be reached; trying again");
        } else {
            tracing::warn!(%error, reason, repeated, "Kafka client");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_repeats_is_logged_once_in_a_while_with_its_number() {
        let (mut state, begun) = (State::default(), Instant::now());
        let down = Some(RDKafkaErrorCode::AllBrokersDown);
        assert_eq!(state.admit(down, begun), Some(0));
        for _ in 0..100 {
            assert_eq!(state.admit(down, begun + QUIET / 2), None);
        }
        assert_eq!(state.admit(Some(RDKafkaErrorCode::Resolve), begun), Some(0), "another error");
        assert_eq!(state.admit(down, begun + QUIET), Some(100));
        assert_eq!(state.admit(down, begun + QUIET), None);
    }
}
