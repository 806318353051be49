//! Queries to the cluster that are repeated until they are answered.

use std::time::Duration;

use crate::backoff::Backoff;

/// How long one query may take.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// The first pause after a failed query.
const QUERY_BACKOFF: Duration = Duration::from_millis(5);
/// The longest pause after a failed query.
const QUERY_BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Number of failed queries before the log level rises above debug: the first ones fail while a
/// partition has only just been assigned.
pub(crate) const QUIET_FAILURES: u32 = 6;
/// Number of consecutive failures of a periodic check before the log level rises above debug: after
/// a restart the brokers answer within a minute.
pub(crate) const QUIET_CHECKS: u32 = 4;

/// The failures of one query, which is repeated until the cluster answers.
pub(crate) struct QueryRetry {
    what: &'static str,
    backoff: Backoff,
}

impl QueryRetry {
    pub fn new(what: &'static str) -> Self {
        Self { what, backoff: Backoff::new(QUERY_BACKOFF, QUERY_BACKOFF_MAX) }
    }

    /// Logs a failure. Returns the pause before the query is repeated.
    pub fn failed(&mut self, topic: &str, partition: i32, reason: &str) -> Duration {
        let (what, pause) = (self.what, self.backoff.next_pause());
        if self.backoff.attempts() <= QUIET_FAILURES {
            tracing::debug!(%topic, partition, what, reason, "no answer yet; repeating the query");
        } else {
            tracing::warn!(%topic, partition, what, reason, "no answer yet; repeating the query");
        }
        pause
    }
}
