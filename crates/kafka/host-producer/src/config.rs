//! The producer's settings.

use std::time::Duration;

use kafka_client::{
    ClientProperties, ClientSettings, OidcSettings, OwnedProperty, Secret, TokenSource, oauth,
};
use serde::Deserialize;

use crate::Error;

/// The partitioner of the Java clients: murmur2 of the key, and a random partition for a record
/// without a key.
const PARTITIONER: &str = "murmur2_random";
/// How long a topic that the broker does not know may remain unknown before its records fail; it
/// may just have been created.
const TOPIC_PROPAGATION_MS: &str = "2000";
/// The longest pause between two attempts to connect, and therefore the time until a broker that is
/// available again is noticed.
const RECONNECT_MAX_MS: &str = "1000";
/// Properties that the producer sets, and the setting that determines each.
const OWNED: [OwnedProperty; 10] = [
    ("acks", Some("acks")),
    ("compression.codec", Some("compression")),
    ("compression.type", Some("compression")),
    ("delivery.timeout.ms", Some("delivery_timeout_ms")),
    ("enable.idempotence", Some("acks")),
    ("linger.ms", Some("linger_ms")),
    ("message.timeout.ms", Some("delivery_timeout_ms")),
    ("partitioner", None),
    ("queue.buffering.max.kbytes", Some("queue_bytes_max")),
    ("queue.buffering.max.messages", Some("queue_records_max")),
];

/// Settings for batches, limits and timeouts. Settings that end in `_ms` are in milliseconds.
/// Unknown settings are an error.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProducerConfig {
    /// Bootstrap brokers, `host:port`, separated by commas. Required.
    pub brokers: String,
    /// Client id that is sent to the brokers. Default `doorbuster`.
    pub client_id: String,
    /// How long a record waits for others that are sent in the same request. With a shorter time,
    /// librdkafka's thread would be awake most of the time. Kafka's own clients have the same
    /// default since version 4. Default 5.
    pub linger_ms: u64,
    /// Codec of the record batches: `none`, `lz4`, `snappy` or `gzip`. Default `lz4`.
    pub compression: Compression,
    /// Replicas that must acknowledge a record: `all` in-sync replicas, or the `leader`. Default
    /// `all`.
    pub acks: Acks,
    /// How long a record may wait for its acknowledgement, including all retries. Default 10,000.
    pub delivery_timeout_ms: u64,
    /// How long a record may wait while no broker can be reached; at most `delivery_timeout_ms`.
    /// Default 2,000.
    pub unreachable_timeout_ms: u64,
    /// Maximum number of records that wait for their acknowledgement; more fail at once. Default
    /// 100,000.
    pub queue_records_max: u32,
    /// Maximum size of the records that wait for their acknowledgement; more fail at once. Default
    /// 64 MiB.
    pub queue_bytes_max: usize,
    /// Bearer token for SASL OAUTHBEARER, as in the trigger. It is never printed.
    pub oauth_token: Option<Secret>,
    /// OpenID Connect provider that issues the tokens for SASL OAUTHBEARER, as in the trigger.
    pub oauth: Option<OidcSettings>,
    /// Further librdkafka properties (TLS, SASL), by librdkafka's names. Properties that the
    /// producer sets are an error. Values are never printed.
    pub client: ClientProperties,
}

/// The replicas that must have a record before it is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acks {
    /// All in-sync replicas. A retry does not write the record twice.
    #[default]
    All,
    /// Only the leader. Acknowledged records are lost if the leader is lost, and a retry may write
    /// a record twice. Only for comparisons.
    Leader,
}

/// The compression codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// No compression.
    None,
    /// LZ4, which needs the least CPU time.
    #[default]
    Lz4,
    /// Snappy, which needs about as little CPU time as LZ4.
    Snappy,
    /// Gzip, with the smallest output of these, but several times the CPU time.
    Gzip,
}

impl Compression {
    fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Lz4 => "lz4",
            Compression::Snappy => "snappy",
            Compression::Gzip => "gzip",
        }
    }
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            client_id: "doorbuster".into(),
            linger_ms: 5,
            compression: Compression::default(),
            acks: Acks::default(),
            delivery_timeout_ms: 10_000,
            unreachable_timeout_ms: 2_000,
            queue_records_max: 100_000,
            queue_bytes_max: 64 * 1024 * 1024,
            oauth_token: None,
            oauth: None,
            client: ClientProperties::default(),
        }
    }
}

impl ProducerConfig {
    /// The default settings with these brokers.
    pub fn new(brokers: impl Into<String>) -> Self {
        Self { brokers: brokers.into(), ..Self::default() }
    }

    /// Checks each setting and the conditions between settings. The error names the setting.
    pub fn validate(&self) -> Result<(), Error> {
        check("brokers", !self.brokers.trim().is_empty(), "give at least one `host:port`")?;
        let delivery = (1..=900_000).contains(&self.delivery_timeout_ms);
        check("delivery_timeout_ms", delivery, "must be between 1 and 900,000")?;
        let linger = self.linger_ms < self.delivery_timeout_ms;
        check("linger_ms", linger, "must be below `delivery_timeout_ms`")?;
        let unreachable = self.unreachable_timeout_ms <= self.delivery_timeout_ms;
        check("unreachable_timeout_ms", unreachable, "must not be above `delivery_timeout_ms`")?;
        let records = (1..=10_000_000).contains(&self.queue_records_max);
        check("queue_records_max", records, "must be between 1 and 10,000,000")?;
        let bytes = (1024..=i32::MAX as usize).contains(&self.queue_bytes_max);
        check("queue_bytes_max", bytes, "must be between 1 KiB and 2 GiB")?;
        oauth::validate(self.oauth_token.as_ref(), self.oauth.as_ref(), &self.client)?;
        Ok(self.client.refuse_owned(&OWNED)?)
    }

    /// The settings of the producer's client.
    pub(crate) fn producer_client(&self) -> ClientSettings {
        let mut settings = ClientSettings::new(&self.brokers, &self.client);
        settings
            .set_default("topic.metadata.propagation.max.ms", TOPIC_PROPAGATION_MS)
            .set_default("reconnect.backoff.max.ms", RECONNECT_MAX_MS)
            .set_default("socket.nagle.disable", "true")
            .set_default("socket.keepalive.enable", "true")
            .set_tokens(self.tokens().as_ref())
            .set("client.id", &self.client_id)
            .set("enable.idempotence", (self.acks == Acks::All).to_string())
            .set("acks", if self.acks == Acks::All { "all" } else { "1" })
            .set("partitioner", PARTITIONER)
            .set("allow.auto.create.topics", "false")
            .set("linger.ms", self.linger_ms.to_string())
            .set("compression.type", self.compression.name())
            .set("message.timeout.ms", self.delivery_timeout_ms.to_string())
            .set("queue.buffering.max.messages", self.queue_records_max.to_string())
            .set("queue.buffering.max.kbytes", (self.queue_bytes_max / 1024).to_string());
        settings
    }

    /// The settings of an admin client of the same brokers.
    pub(crate) fn admin_client(&self) -> ClientSettings {
        let mut settings = ClientSettings::new(&self.brokers, &self.client);
        settings.set_tokens(self.tokens().as_ref()).set("allow.auto.create.topics", "false");
        settings
    }

    /// The source of the tokens for SASL OAUTHBEARER, if one is set.
    pub(crate) fn tokens(&self) -> Option<TokenSource> {
        TokenSource::of(self.oauth_token.as_ref(), self.oauth.as_ref())
    }

    pub(crate) fn unreachable_timeout(&self) -> Duration {
        Duration::from_millis(self.unreachable_timeout_ms)
    }
}

fn check(setting: &str, holds: bool, reason: &str) -> Result<(), Error> {
    if holds { Ok(()) } else { Err(kafka_client::Error::setting(setting, reason).into()) }
}

#[cfg(test)]
mod tests {
    use kafka_client::BasicContext;
    use rdkafka::producer::FutureProducer;

    use super::*;

    fn refused(change: impl FnOnce(&mut ProducerConfig)) -> String {
        let mut config = ProducerConfig::new("localhost:9092");
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_bound_is_checked_and_named() {
        ProducerConfig::new("localhost:9092").validate().unwrap();
        assert!(refused(|c| c.brokers.clear()).contains("brokers"));
        assert!(refused(|c| c.linger_ms = 10_000).contains("linger_ms"));
        assert!(refused(|c| c.delivery_timeout_ms = 0).contains("delivery_timeout_ms"));
        assert!(refused(|c| c.unreachable_timeout_ms = 10_001).contains("unreachable_timeout_ms"));
        assert!(refused(|c| c.queue_records_max = 0).contains("queue_records_max"));
        assert!(refused(|c| c.queue_bytes_max = 1).contains("queue_bytes_max"));
        for (name, _) in OWNED {
            let owned = refused(|c| c.client = [(name, "x")].into_iter().collect());
            assert!(owned.contains(name), "{owned}");
        }
    }

    #[test]
    fn every_codec_is_built_in() {
        for compression in
            [Compression::None, Compression::Lz4, Compression::Snappy, Compression::Gzip]
        {
            let config = ProducerConfig { compression, ..ProducerConfig::new("localhost:9092") };
            let settings = config.producer_client();
            drop(settings.create::<FutureProducer<_>, _>(BasicContext::default()).unwrap());
        }
    }

    #[test]
    fn secrets_are_never_printed() {
        let client = [("sasl.password", "hunter2")].into_iter().collect();
        let config = ProducerConfig { client, ..ProducerConfig::new("localhost:9092") };
        let printed = format!("{config:?}");
        assert!(printed.contains("sasl.password") && !printed.contains("hunter2"), "{printed}");
    }
}
