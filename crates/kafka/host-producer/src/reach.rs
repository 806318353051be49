//! Tracks whether any broker can be reached.

use std::sync::Arc;
use std::time::Duration;

use kafka_client::ClientLog;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Whether a broker can be reached.
///
/// librdkafka reports the loss of the last connection, but not a new connection: an acknowledgement
/// or another answer shows that a broker can be reached.
#[derive(Clone)]
pub(crate) struct Reach {
    state: watch::Sender<State>,
    log: Arc<ClientLog>,
}

/// What is known since the last answer of a broker.
#[derive(Default)]
struct State {
    /// Since when no broker can be reached; `None` while one can.
    lost_since: Option<Instant>,
    /// The topic of a record that failed because no broker could be reached. A lost connection
    /// alone is not a failure: brokers close idle connections.
    failed_topic: Option<String>,
}

impl Reach {
    pub fn new() -> Self {
        Self { state: watch::Sender::default(), log: Arc::default() }
    }

    pub fn is_reachable(&self) -> bool {
        self.state.borrow().lost_since.is_none()
    }

    /// Notes that a broker answered.
    pub fn answered(&self) {
        self.state.send_if_modified(|state| {
            let changed = state.lost_since.is_some() || state.failed_topic.is_some();
            if changed {
                *state = State::default();
            }
            changed
        });
    }

    /// Notes that a record of this topic failed because no broker could be reached.
    pub fn failed(&self, topic: &str) {
        self.state.send_if_modified(|state| {
            state.failed_topic.get_or_insert_with(|| topic.into());
            false
        });
    }

    /// The topic of a record that failed because no broker could be reached, if none has answered
    /// since.
    pub fn failed_topic(&self) -> Option<String> {
        self.state.borrow().failed_topic.clone()
    }

    fn lost(&self) {
        self.state.send_if_modified(|state| {
            let first = state.lost_since.is_none();
            state.lost_since.get_or_insert_with(Instant::now);
            first
        });
    }

    /// Resolves when no broker could be reached for `patience`, and at least that time after the
    /// call.
    pub async fn given_up(&self, patience: Duration) {
        let called = Instant::now();
        let mut state = self.state.subscribe();
        loop {
            let lost = state.borrow_and_update().lost_since;
            let give_up = lost.map(|lost| lost.max(called) + patience);
            tokio::select! {
                () = async { match give_up {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                } } => return,
                changed = state.changed() => if changed.is_err() { return },
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

    #[test]
    fn a_lost_connection_alone_is_no_failure() {
        let reach = Reach::new();
        reach.lost();
        assert_eq!(reach.failed_topic(), None);
        reach.failed("sales");
        assert_eq!(reach.failed_topic().as_deref(), Some("sales"));
        reach.answered();
        assert_eq!(reach.failed_topic(), None);
        assert!(reach.is_reachable());
    }

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
