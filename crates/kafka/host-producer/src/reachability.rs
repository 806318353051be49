//! Tracks whether any broker can be reached.

use std::sync::Arc;
use std::time::Duration;

use kafka_client::{ClientLog, TokenSource, oauth};
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Whether a broker can be reached.
///
/// librdkafka reports the loss of the last connection, but not a new connection: an acknowledgement
/// or another answer shows that a broker can be reached.
#[derive(Clone)]
pub(crate) struct Reachability {
    state: watch::Sender<State>,
    tokens: Option<TokenSource>,
    log: Arc<ClientLog>,
}

/// The state since the last answer of a broker.
#[derive(Default)]
struct State {
    /// The time since which no broker can be reached; `None` while one can.
    lost_since: Option<Instant>,
    /// The topic of a record that failed because no broker could be reached. A lost connection
    /// alone is not a failure: brokers close idle connections.
    failed_topic: Option<String>,
}

impl Reachability {
    /// For a client with this source of tokens for SASL OAUTHBEARER.
    pub fn new(tokens: Option<TokenSource>) -> Self {
        Self { state: watch::Sender::default(), tokens, log: Arc::default() }
    }

    pub fn is_reachable(&self) -> bool {
        self.state.borrow().lost_since.is_none()
    }

    /// Notes that a broker answered.
    pub fn set_reachable(&self) {
        self.state.send_if_modified(|state| {
            let changed = state.lost_since.is_some() || state.failed_topic.is_some();
            if changed {
                *state = State::default();
            }
            changed
        });
    }

    /// Notes that a record of this topic failed because no broker could be reached.
    pub fn record_failed(&self, topic: &str) {
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

    fn set_unreachable(&self) {
        self.state.send_if_modified(|state| {
            let first = state.lost_since.is_none();
            state.lost_since.get_or_insert_with(Instant::now);
            first
        });
    }

    /// Resolves when no broker could be reached for `limit`, and at least that time after the call.
    pub async fn unreachable_for(&self, limit: Duration) {
        let called = Instant::now();
        let mut state = self.state.subscribe();
        loop {
            let lost = state.borrow_and_update().lost_since;
            let deadline = lost.map(|lost| lost.max(called) + limit);
            tokio::select! {
                () = async { match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                } } => return,
                changed = state.changed() => if changed.is_err() { return },
            }
        }
    }
}

impl ClientContext for Reachability {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        // Without a token, librdkafka does not connect, and reports no lost connection.
        oauth::token(self.tokens.as_ref()).inspect_err(|_| self.set_unreachable())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
        if matches!(error, KafkaError::Global(RDKafkaErrorCode::AllBrokersDown)) {
            self.set_unreachable();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_connection_alone_is_not_a_failure() {
        let reachability = Reachability::new(None);
        reachability.set_unreachable();
        assert_eq!(reachability.failed_topic(), None);
        reachability.record_failed("sales");
        assert_eq!(reachability.failed_topic().as_deref(), Some("sales"));
        reachability.set_reachable();
        assert_eq!(reachability.failed_topic(), None);
        assert!(reachability.is_reachable());
    }

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn resolves_only_while_no_broker_answers() {
        let reachability = Reachability::new(None);
        reachability.set_unreachable();
        tokio::time::sleep(LIMIT * 2).await;
        let waiting = tokio::spawn({
            let reachability = reachability.clone();
            async move { reachability.unreachable_for(LIMIT).await }
        });
        tokio::time::sleep(LIMIT / 2).await;
        assert!(!waiting.is_finished(), "the limit applies to each caller separately");
        reachability.set_reachable();
        tokio::time::sleep(LIMIT * 2).await;
        assert!(!waiting.is_finished() && reachability.is_reachable());
        reachability.set_unreachable();
        waiting.await.unwrap();
        assert!(!reachability.is_reachable());
    }
}
