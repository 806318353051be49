//! Whether any broker can be reached.

use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// The facility of librdkafka's log lines about connections that fail.
const CONNECTION_FAILED: &str = "FAIL";

/// Since when no broker can be reached; none while one can.
///
/// librdkafka tells when the last connection is gone, not when one is back: an
/// acknowledgement tells that.
#[derive(Clone)]
pub(crate) struct Reach(watch::Sender<Option<Instant>>);

impl Reach {
    pub fn new() -> Self {
        Self(watch::Sender::new(None))
    }

    pub fn is_reachable(&self) -> bool {
        self.0.borrow().is_none()
    }

    /// A broker answered.
    pub fn answered(&self) {
        self.0.send_if_modified(|since| since.take().is_some());
    }

    fn lost(&self) {
        self.0.send_if_modified(|since| {
            let first = since.is_none();
            since.get_or_insert_with(Instant::now);
            first
        });
    }

    /// Returns once no broker could be reached for `patience`, and the caller has waited for
    /// as long.
    pub async fn given_up(&self, patience: Duration) {
        let called = Instant::now();
        let mut since = self.0.subscribe();
        loop {
            let lost = *since.borrow_and_update();
            let give_up = lost.map(|lost| lost.max(called) + patience);
            tokio::select! {
                () = async { match give_up {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                } } => return,
                changed = since.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl ClientContext for Reach {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            // Told by `error`, too.
            _ if facility == CONNECTION_FAILED => tracing::debug!(facility, message, "librdkafka"),
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error => tracing::error!(facility, message, "librdkafka"),
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "librdkafka"),
            _ => tracing::debug!(facility, message, "librdkafka"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "Kafka client");
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)) {
            self.lost();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn gives_up_only_while_nothing_answers() {
        let reach = Reach::new();
        reach.lost();
        tokio::time::sleep(PATIENCE * 2).await;
        let waiting = tokio::spawn({
            let reach = reach.clone();
            async move { reach.given_up(PATIENCE).await }
        });
        tokio::time::sleep(PATIENCE / 2).await;
        assert!(!waiting.is_finished(), "every caller gets its own patience");
        reach.answered();
        tokio::time::sleep(PATIENCE * 2).await;
        assert!(!waiting.is_finished() && reach.is_reachable());
        reach.lost();
        waiting.await.unwrap();
        assert!(!reach.is_reachable());
    }
}
