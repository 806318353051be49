//! The context of the engine's auxiliary clients.

use kafka_client::ClientLog;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::secret::Secret;
use crate::{Config, oauth};

/// The context of a client that only needs to log and, with SASL OAUTHBEARER, a token.
pub(crate) struct Plain {
    oauth_token: Option<Secret>,
    log: ClientLog,
}

impl Plain {
    pub fn new(config: &Config) -> Self {
        Self { oauth_token: config.oauth_token().cloned(), log: ClientLog::default() }
    }
}

impl ClientContext for Plain {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth::answer(self.oauth_token.as_ref())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, fault: KafkaError, reason: &str) {
        self.log.error(&fault, reason);
    }
}

impl ConsumerContext for Plain {}
