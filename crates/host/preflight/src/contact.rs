//! The first request to the brokers, and the cause if it fails.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
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
const LISTEN_LIMIT: Duration = Duration::from_millis(100);

const CREDENTIALS: &str = "Check user, password, mechanism and certificates";

/// Requests the topic's metadata. Blocks for about `CONTACT_LIMIT` at most.
pub(crate) fn metadata(native: &ClientConfig, place: &str, topic: &str) -> Result<Metadata, Error> {
    let client: BaseProducer<Heard> =
        native.create_with_context(Heard::default()).map_err(|error| Error::client(&error))?;
    let deadline = Instant::now() + CONTACT_LIMIT;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let error = match client.client().fetch_metadata(Some(topic), left.min(TRY_LIMIT)) {
            Ok(metadata) => return Ok(metadata),
            Err(error) => error,
        };
        // Lets librdkafka call the callbacks with its errors.
        client.poll(LISTEN_LIMIT);
        let heard = client.context();
        if heard.is_over() || Instant::now() >= deadline {
            return Err(heard.fault(place, &error));
        }
    }
}

/// What librdkafka has reported about its connections.
#[derive(Default)]
struct Heard(Mutex<Said>);

#[derive(Default)]
struct Said {
    /// A broker rejected the client, or its certificate is not trusted.
    refusal: Option<String>,
    /// A connection failed.
    failure: Option<String>,
    all_down: bool,
}

impl Heard {
    fn said<T>(&self, look: impl FnOnce(&mut Said) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn is_over(&self) -> bool {
        self.said(|said| said.refusal.is_some() || said.all_down)
    }

    fn fault(&self, place: &str, error: &KafkaError) -> Error {
        self.said(|said| match (said.refusal.take(), said.failure.take()) {
            (Some(refusal), _) => Error::refused(place, refusal, CREDENTIALS),
            (None, Some(failure)) => Error::unreachable(place, failure),
            (None, None) => Error::unreachable(place, error),
        })
    }
}

impl ClientContext for Heard {
    /// Only logged, because important events are also reported as errors.
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let KafkaError::Global(code) = error else { return };
        self.said(|said| match code {
            Code::AllBrokersDown => said.all_down = true,
            Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL => {
                said.refusal.get_or_insert_with(|| reason.into());
            }
            _ => {
                said.failure.get_or_insert_with(|| reason.into());
            }
        });
    }
}

impl ProducerContext for Heard {
    type DeliveryOpaque = ();

    /// Never called, because no record is sent.
    fn delivery(&self, _: &DeliveryResult<'_>, (): ()) {}
}
