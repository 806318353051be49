//! Whether any broker can be reached.

use std::sync::Arc;
use std::time::Duration;

use kafka_log::ClientLog;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Since when no broker can be reached; none while one can.
///
/// librdkafka tells when the last connection is gone, not when one is back: an
/// acknowledgement tells that.
#[derive(Clone)]
pub(crate) struct Reach {
    lost_since: watch::Sender<Option<Instant>>,
    log: Arc<ClientLog>,
}

impl Reach {
    pub fn new() -> Self {
        Self { lost_since: watch::Sender::new(None), log: Arc::default() }
    }

    pub fn is_reachable(&self) -> bool {
        self.lost_since.borrow().is_none()
    }

    /// A broker answered.
    pub fn answered(&self) {
        self.lost_since.send_if_modified(|since| since.take().is_some());
    }

    fn lost(&self) {
        self.lost_since.send_if_modified(|since| {
            let first = since.is_none();
            since.get_or_insert_with(Instant::now);
            first
        });
    }

    /// Returns once no broker could be reached for `patience`, and the caller has waited for
    /// as long.
    pub async fn given_up(&self, patience: Duration) {
        let called = Instant::now();
        let mut since = self.lost_since.subscribe();
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
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
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
