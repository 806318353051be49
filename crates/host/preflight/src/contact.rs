//! The first request to the brokers, and the cause if it fails.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kafka_client::{ClientSettings, TokenError, TokenSource};
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::DeliveryResult;
use rdkafka::metadata::Metadata;
use rdkafka::producer::{BaseProducer, Producer as _, ProducerContext};

use crate::Error;

/// Maximum time for all attempts.
const CONTACT_LIMIT: Duration = Duration::from_secs(10);
/// Maximum time for one attempt. After each attempt the errors are checked for a refusal, because
/// librdkafka itself would retry for ever.
const TRY_LIMIT: Duration = Duration::from_secs(2);
/// Time for which librdkafka's events are read after an attempt.
const EVENTS_LIMIT: Duration = Duration::from_millis(100);

const CREDENTIALS: &str = "Check user, password, mechanism and certificates";

const CLIENT: &str = "Check client_id, client_secret, scope and audience of `oauth`";

/// How to connect to the brokers for one check.
pub(crate) struct Contact {
    pub settings: ClientSettings,
    /// The source of tokens for SASL OAUTHBEARER.
    pub tokens: Option<TokenSource>,
    /// The name of the server, which errors contain.
    pub server: String,
}

impl Contact {
    /// Requests the topic's metadata. Blocks for about twice `CONTACT_LIMIT` at most.
    pub fn metadata(&self, topic: &str) -> Result<Metadata, Error> {
        let client: BaseProducer<ConnectionErrors> =
            self.settings.create(ConnectionErrors::default())?;
        self.authenticate(client.client())?;
        let deadline = Instant::now() + CONTACT_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let error = match client.client().fetch_metadata(Some(topic), left.min(TRY_LIMIT)) {
                Ok(metadata) => return Ok(metadata),
                Err(error) => error,
            };
            // Lets librdkafka call the callbacks with its errors.
            client.poll(EVENTS_LIMIT);
            let errors = client.context();
            if errors.are_final() || Instant::now() >= deadline {
                return Err(errors.cause(&self.server, &error));
            }
        }
    }

    /// Gives the client a token, if its brokers require one.
    pub fn authenticate(&self, client: &Client<ConnectionErrors>) -> Result<(), Error> {
        let Some(tokens) = &self.tokens else { return Ok(()) };
        tokens.authenticate(client, CONTACT_LIMIT).map_err(|error| match error {
            TokenError::Unusable(reason) => Error::Config { setting: "oauth_token".into(), reason },
            TokenError::Unavailable { provider, reason } => Error::unreachable(&provider, reason),
            TokenError::Refused { provider, reason } => Error::refused(&provider, reason, CLIENT),
            error => Error::Config { setting: "oauth".into(), reason: error.to_string() },
        })
    }
}

/// The errors of connections that librdkafka has reported to a client.
#[derive(Default)]
pub(crate) struct ConnectionErrors(Mutex<FirstErrors>);

#[derive(Default)]
struct FirstErrors {
    /// A broker rejected the client, or its certificate is not trusted.
    refusal: Option<String>,
    /// A connection failed.
    failure: Option<String>,
    /// No broker can be reached.
    all_down: bool,
}

impl ConnectionErrors {
    fn with<T>(&self, action: impl FnOnce(&mut FirstErrors) -> T) -> T {
        action(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether another attempt would fail as well.
    fn are_final(&self) -> bool {
        self.with(|first| first.refusal.is_some() || first.all_down)
    }

    /// The error of the check. `error` is its reason if no connection has failed.
    fn cause(&self, server: &str, error: &KafkaError) -> Error {
        self.with(|first| match (first.refusal.take(), first.failure.take()) {
            (Some(refusal), _) => Error::refused(server, refusal, CREDENTIALS),
            (None, Some(failure)) => Error::unreachable(server, failure),
            (None, None) => Error::unreachable(server, error),
        })
    }
}

impl ClientContext for ConnectionErrors {
    /// Important events are also reported as errors.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let KafkaError::Global(code) = error else { return };
        self.with(|first| match code {
            Code::AllBrokersDown => first.all_down = true,
            Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => {
                first.refusal.get_or_insert_with(|| reason.into());
            }
            _ => {
                first.failure.get_or_insert_with(|| reason.into());
            }
        });
    }
}

impl ProducerContext for ConnectionErrors {
    type DeliveryOpaque = ();

    /// Never called, because no record is sent.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
