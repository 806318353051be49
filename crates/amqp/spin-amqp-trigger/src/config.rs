//! The settings.

use std::time::Duration;

use amqp_client::{Address, AddressError};
use serde::{Deserialize, Deserializer};
use spin_kafka_trigger::{Config as EngineConfig, FailedRecords, Filter, Secret};

use crate::Error;

/// The longest name of a queue, an exchange or a routing key in AMQP.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// The suffix of the queue for dead letters.
const DEAD_LETTER_SUFFIX: &str = ".dead-letter";
/// The longest time for which a batch waits for more messages.
const BATCH_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Which queue is read, and how messages are batched, retried and given up.
///
/// The names of settings are those of the fields, except that a duration is given as a number of
/// milliseconds, under a name that ends in `_ms`. Unknown settings are an error.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Address of the broker: `amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps://…` for TLS. The
    /// virtual host `/` is written `%2f`. A connection without a sign of life from the broker for
    /// 20 seconds is closed; `?heartbeat=SECONDS` sets half of that. It is never printed.
    /// Required.
    pub url: Option<Secret>,
    /// File with the certificates (PEM) of authorities that may sign the broker's certificate, in
    /// addition to those of the system, for `amqps://`.
    pub ca_file: String,
    /// Name of the queue. It must exist; it is not created. Required.
    pub queue: String,
    /// Name under which a component stores what it has counted. Two triggers that read different
    /// brokers or virtual hosts, and whose components share a state, need different names. Default
    /// `amqp`.
    pub group: String,
    /// Maximum number of messages that the broker sends before they are acknowledged. It must not be
    /// below `batch_records_max`. The messages are in memory: the maximum size of a message
    /// (`max_message_size` of the broker) times this number is the most that they take. Default
    /// 2,000.
    pub prefetch: u16,
    /// Conditions that a message must meet, by its record. A message is handed over if it meets all of
    /// them. Other messages are counted in a metric and acknowledged.
    pub filters: Vec<Filter>,
    /// Maximum number of messages in a batch. Default 1,000.
    pub batch_records_max: usize,
    /// Maximum size of a batch: the bytes of bodies, routing keys and headers, and in addition about
    /// 200 bytes for each message and 112 for each header. A larger message is a batch of its own.
    /// Default 1 MiB.
    pub batch_bytes_max: usize,
    /// Time for which a batch with at least one message waits for more messages. Default 5 ms.
    #[serde(rename = "batch_wait_ms", deserialize_with = "milliseconds")]
    pub batch_wait: Duration,
    /// Number of calls for one batch at the same time. Messages with the same routing key stay in
    /// order. A component that keeps a state needs 1. Default 1.
    pub key_concurrency: usize,
    /// First pause before a batch is handed over again; each further one is twice as long. Default
    /// 100 ms.
    #[serde(rename = "retry_backoff_ms", deserialize_with = "milliseconds")]
    pub retry_backoff: Duration,
    /// Longest pause before a batch is handed over again, and before the trigger connects again.
    /// Default 10,000 ms.
    #[serde(rename = "retry_backoff_max_ms", deserialize_with = "milliseconds")]
    pub retry_backoff_max: Duration,
    /// Maximum number of attempts for a batch for which the component requests a retry. After that it
    /// is split to find the message that causes the failure. With 0 there is no limit. Default 0.
    pub retry_attempts_max: u32,
    /// Number of failed attempts that a message may be part of before it is treated as poison. Only
    /// attempts that the component did not answer count. Default 3.
    pub poison_attempts: u32,
    /// What happens to poison and to messages that the component rejects. With `dead-letter` they
    /// are published to the dead-letter exchange. With `skip` they are logged and counted. With
    /// `stop` the trigger stops before it acknowledges them. Default `dead-letter`.
    pub failed_records: FailedRecords,
    /// Exchange for dead letters. It must exist, and route them to a queue. If it is empty, it is the
    /// default exchange, which routes to the queue whose name is the routing key.
    pub dead_letter_exchange: String,
    /// Routing key of dead letters. If it is empty, it is `<queue>.dead-letter`.
    pub dead_letter_routing_key: String,
    /// Number of consecutive poison messages, with no applied message in between, after which the
    /// trigger stops. It then assumes that the component is broken, not the messages. Default 100.
    pub poison_in_a_row_max: u32,
    /// Time that a batch in flight has to finish when the connection is lost or the trigger stops.
    /// After that it is dropped, and its messages are delivered again. Default 10,000 ms.
    #[serde(rename = "drain_deadline_ms", deserialize_with = "milliseconds")]
    pub drain_deadline: Duration,
    /// Time without progress after which the trigger is unhealthy, if it has received messages that
    /// are not acknowledged. Must be longer than the slowest batch takes. Default 120,000 ms.
    #[serde(rename = "stalled_after_ms", deserialize_with = "milliseconds")]
    pub stalled_after: Duration,
    /// Messages for each replica, used for the metric that suggests the number of replicas. Default
    /// 10,000.
    pub lag_per_replica: u64,
}

impl Default for Config {
    fn default() -> Self {
        let engine = EngineConfig::default();
        Self {
            url: None,
            ca_file: String::new(),
            queue: String::new(),
            group: "amqp".into(),
            prefetch: 2_000,
            filters: Vec::new(),
            batch_records_max: engine.batch_records_max,
            batch_bytes_max: engine.batch_bytes_max,
            batch_wait: engine.batch_wait,
            key_concurrency: engine.key_concurrency,
            retry_backoff: engine.retry_backoff,
            retry_backoff_max: engine.retry_backoff_max,
            retry_attempts_max: engine.retry_attempts_max,
            poison_attempts: engine.poison_attempts,
            failed_records: engine.failed_records,
            dead_letter_exchange: String::new(),
            dead_letter_routing_key: String::new(),
            poison_in_a_row_max: engine.poison_in_a_row_max,
            drain_deadline: engine.drain_deadline,
            stalled_after: engine.stalled_after,
            lag_per_replica: engine.lag_per_replica,
        }
    }
}

impl Config {
    /// The required settings; the others have their defaults.
    pub fn new(url: impl Into<String>, queue: impl Into<String>) -> Self {
        Self { url: Some(url.into().into()), queue: queue.into(), ..Self::default() }
    }

    /// Checks each setting and the conditions between settings. The error names the setting. Returns
    /// the address of the broker and its virtual host, without the password.
    pub fn check(&self) -> Result<String, Error> {
        let address = self.validate()?;
        self.engine().validate_handling()?;
        Ok(address.public().into())
    }

    /// The content of `ca_file`.
    fn authorities(&self) -> Result<Option<String>, Error> {
        let file = &self.ca_file;
        if file.is_empty() {
            return Ok(None);
        }
        let read = std::fs::read_to_string(file);
        read.map(Some).map_err(|error| Error::setting("ca_file", format!("{file}: {error}")))
    }

    /// Checks the settings that are not those of the engine, and returns the broker's address.
    pub(crate) fn validate(&self) -> Result<Address, Error> {
        let check = |setting, is_valid: bool, reason: &str| {
            if is_valid { Ok(()) } else { Err(Error::setting(setting, reason)) }
        };
        let url = self.url.as_ref().map_or("", Secret::expose);
        let address = Address::new(url, self.authorities()?).map_err(|error| {
            let setting = match error {
                AddressError::Url => "url",
                AddressError::Authorities => "ca_file",
            };
            Error::setting(setting, error.to_string())
        })?;
        check("queue", !self.queue.is_empty(), "give the name of the queue")?;
        check("group", !self.group.is_empty(), "must not be empty")?;
        for (setting, name) in [
            ("queue", &self.queue),
            ("dead_letter_exchange", &self.dead_letter_exchange),
            ("dead_letter_routing_key", &self.letter_routing_key()),
        ] {
            check(setting, name.len() <= NAME_BYTES_MAX, "must not have more than 255 bytes")?;
        }
        let window = self.prefetch > 0 && usize::from(self.prefetch) >= self.batch_records_max;
        check("prefetch", window, "must not be below `batch_records_max`")?;
        check("batch_wait_ms", self.batch_wait <= BATCH_WAIT_MAX, "must not be above 3,600,000")?;
        Ok(address)
    }

    /// The routing key of dead letters.
    pub(crate) fn letter_routing_key(&self) -> String {
        if self.dead_letter_routing_key.is_empty() {
            format!("{}{DEAD_LETTER_SUFFIX}", self.queue)
        } else {
            self.dead_letter_routing_key.clone()
        }
    }

    /// The settings of the engine that applies the batches.
    pub(crate) fn engine(&self) -> EngineConfig {
        let mut engine = EngineConfig::default();
        engine.group.clone_from(&self.group);
        engine.filters.clone_from(&self.filters);
        engine.batch_records_max = self.batch_records_max;
        engine.batch_bytes_max = self.batch_bytes_max;
        engine.batch_wait = self.batch_wait;
        engine.key_concurrency = self.key_concurrency;
        engine.retry_backoff = self.retry_backoff;
        engine.retry_backoff_max = self.retry_backoff_max;
        engine.retry_attempts_max = self.retry_attempts_max;
        engine.poison_attempts = self.poison_attempts;
        engine.failed_records = self.failed_records;
        engine.dead_letter_topic = self.letter_routing_key();
        engine.poison_in_a_row_max = self.poison_in_a_row_max;
        engine.drain_deadline = self.drain_deadline;
        engine.stalled_after = self.stalled_after;
        engine.lag_per_replica = self.lag_per_replica;
        engine
    }
}

/// Reads a number of milliseconds.
fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = Config::new("amqp://user:hunter2@localhost:5672/%2f", "posts");
        config.check().unwrap();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn every_bound_is_checked_and_named_and_no_error_contains_the_password() {
        assert!(refused(|c| c.queue.clear()).contains("`queue`"));
        assert!(refused(|c| c.queue = "q".repeat(256)).contains("`queue`"));
        assert!(refused(|c| c.queue = "q".repeat(250)).contains("`dead_letter_routing_key`"));
        assert!(refused(|c| c.group.clear()).contains("`group`"));
        assert!(refused(|c| c.prefetch = 999).contains("`prefetch`"));
        assert!(refused(|c| c.batch_wait = Duration::MAX).contains("`batch_wait_ms`"));
        for url in ["http://user:hunter2@localhost", "amqp://user:hunter2@", ""] {
            let error = refused(|c| c.url = Some(url.into()));
            assert!(error.contains("`url`") && !error.contains("hunter2"), "{error}");
        }
        assert!(refused(|c| c.ca_file = "missing.pem".into()).contains("`ca_file`"));
    }

    #[test]
    fn settings_are_read_by_their_names() {
        let text = "url = 'amqp://localhost'\nqueue = 'posts'\nbatch_wait_ms = 20";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.batch_wait, Duration::from_millis(20));
        assert_eq!(config.letter_routing_key(), "posts.dead-letter");
        assert!(!format!("{config:?}").contains("amqp://"));
        let error = toml::from_str::<Config>("topic = 'posts'").unwrap_err().to_string();
        assert!(error.contains("unknown field `topic`"), "{error}");
    }
}
