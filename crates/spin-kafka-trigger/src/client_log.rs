//! librdkafka's log lines and errors, as ours.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// The facility of librdkafka's log lines about connections that fail.
const CONNECTION_FAILED: &str = "FAIL";

/// The context of a client that needs nothing but a log.
pub(crate) struct ClientLog;

impl ClientContext for ClientLog {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, fault: KafkaError, reason: &str) {
        error(&fault, reason);
    }
}

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
