//! The context of a client that needs no other callbacks.

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

use crate::{ClientLog, TokenSource, oauth};

/// The context of a client that only logs and, with SASL OAUTHBEARER, needs a token.
#[derive(Debug, Default)]
pub struct BasicContext {
    tokens: Option<TokenSource>,
    log: ClientLog,
}

impl BasicContext {
    /// A context with this source of tokens for SASL OAUTHBEARER.
    pub fn new(tokens: Option<TokenSource>) -> Self {
        Self { tokens, log: ClientLog::default() }
    }
}

impl ClientContext for BasicContext {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn generate_oauth_token(
        &self,
        _: Option<&str>,
    ) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        oauth::token(self.tokens.as_ref())
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.log.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.log.error(&error, reason);
    }
}

impl ConsumerContext for BasicContext {}
