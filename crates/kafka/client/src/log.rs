//! Writes what librdkafka reports to the log of the program.
//!
//! A client that cannot reach its brokers retries many times a second and reports every failure.
//! Therefore an error is logged when it first occurs, and then once in [`REPEAT_INTERVAL`] with the
//! number of occurrences since. If an error does not contain its cause, the last failed connection
//! is added.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

/// Time after which a repeated error is logged again.
pub const REPEAT_INTERVAL: Duration = Duration::from_secs(30);

/// The facility of librdkafka's log lines about failed connections.
const CONNECTION_FAILED: &str = "FAIL";

/// The log of one Kafka client.
#[derive(Debug, Default)]
pub struct ClientLog(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// librdkafka's text about the last failed connection, which contains the address.
    failed_connection: String,
    /// The logged errors by the number of their code.
    errors: HashMap<Option<i32>, Repeated>,
}

/// An error that was logged.
#[derive(Debug)]
struct Repeated {
    logged: Instant,
    /// Number of occurrences since it was logged.
    since: u32,
}

impl State {
    /// The number of occurrences since the error was last logged; None if it is not logged now.
    fn admit(&mut self, code: Option<RDKafkaErrorCode>, now: Instant) -> Option<u32> {
        let code = code.map(|code| code as i32);
        let Some(repeated) = self.errors.get_mut(&code) else {
            self.errors.insert(code, Repeated { logged: now, since: 0 });
            return Some(0);
        };
        if now.duration_since(repeated.logged) < REPEAT_INTERVAL {
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
            // The same failure is also passed to `error`.
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
        // A consumer that enables this event also gets it from its queue.
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
            assert_eq!(state.admit(down, begun + REPEAT_INTERVAL / 2), None);
        }
        assert_eq!(state.admit(Some(RDKafkaErrorCode::Resolve), begun), Some(0), "another error");
        assert_eq!(state.admit(down, begun + REPEAT_INTERVAL), Some(100));
        assert_eq!(state.admit(down, begun + REPEAT_INTERVAL), None);
    }
}
