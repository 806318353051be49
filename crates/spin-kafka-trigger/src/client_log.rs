//! What every client of ours answers librdkafka: its log lines and errors go to our log.

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::secret::Secret;
use crate::{Config, oauth};

/// The facility of librdkafka's log lines about connections that fail.
const CONNECTION_FAILED: &str = "FAIL";

/// The context of a client that needs nothing but a log, and perhaps a token.
pub(crate) struct Plain {
    oauth_token: Option<Secret>,
}

impl Plain {
    pub fn new(config: &Config) -> Self {
        Self { oauth_token: config.oauth_token().cloned() }
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
        log(level, facility, message);
    }

    fn error(&self, fault: KafkaError, reason: &str) {
        error(&fault, reason);
    }
}

impl ConsumerContext for Plain {}

pub(crate) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
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

pub(crate) fn error(error: &KafkaError, reason: &str) {
    tracing::warn!(%error, reason, "Kafka client");
}
