//! The engine's settings.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use kafka_client::{ClientProperties, OidcSettings, Secret, TokenSource, oauth};
use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;

use crate::client_properties::{OWNED, partition_bytes_max};
use crate::pattern::is_pattern;
use crate::{Error, Filter, Start, topics};

/// The shortest time that librdkafka can represent.
const MILLISECOND: Duration = Duration::from_millis(1);
/// The longest session timeout that librdkafka accepts.
const SESSION_TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// The longest interval of commits that librdkafka accepts.
const COMMIT_INTERVAL_MAX: Duration = Duration::from_secs(86_400);
/// The longest time for which a batch waits for more records.
const BATCH_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// The shortest and the longest timeout of a transaction. The longest is the default of the brokers'
/// `transaction.max.timeout.ms`.
const TRANSACTION_TIMEOUT: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(900);
/// The highest `queued.max.messages.kbytes` that librdkafka accepts, in bytes.
const QUEUE_BYTES_MAX: usize = (i32::MAX as usize / 1024) * 1024;

/// How the group reads, batches, retries and drains.
///
/// [`Config::new`] has the required settings, and each other setting has a method that changes it:
///
/// ```
/// use std::time::Duration;
///
/// use spin_kafka_trigger::{Config, Start};
///
/// let config = Config::new("localhost:9092", ["sales"], "printers")
///     .start(Start::Latest)
///     .batch_wait(Duration::from_millis(20))
///     .client([("security.protocol", "ssl")]);
/// config.validate()?;
/// # Ok::<(), spin_kafka_trigger::Error>(())
/// ```
///
/// It can also be deserialized, for example from TOML. The names of settings are then those of the
/// fields, except that a duration is given as a number of milliseconds, under a name that ends in
/// `_ms`. Errors use these names. Unknown settings are an error:
///
/// ```
/// use std::time::Duration;
///
/// let config: spin_kafka_trigger::Config = toml::from_str(
///     r#"
///     brokers = "localhost:9092"
///     topics = ["sales"]
///     group = "printers"
///     batch_wait_ms = 20
///     "#,
/// )?;
/// assert_eq!(config.batch_wait, Duration::from_millis(20));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Config {
    /// Bootstrap brokers, `host:port`, separated by commas. Required.
    pub brokers: String,
    /// Topics to read, at least one. A name that begins with `^` is a pattern: a regular expression
    /// that must match the beginning of a topic's name. It may contain only the syntax that POSIX
    /// and RE2 interpret in the same way: `.`, `[a-z]`, `*`, `+`, `?`, `{2,3}`, `|`, `(`, `)`, `$`,
    /// `\.` and `\-`. A missing topic is read as soon as it exists; the engine does not create it.
    /// Required.
    pub topics: Vec<String>,
    /// Consumer group. Required.
    pub group: String,
    /// Protocol of the group: `classic`, in which the group's leader assigns the partitions with
    /// the assignor `cooperative-sticky`, or `consumer`, in which the broker assigns them (KIP-848,
    /// Kafka 4.0 or newer). Default `classic`.
    pub group_protocol: GroupProtocol,
    /// Permanent name of this member (static membership, `group.instance.id`). A restart within the
    /// session timeout causes no rebalance, but a member that does not return keeps its partitions
    /// for that time. Two members must not have the same name. With the protocol `consumer`, a
    /// member that was killed joins again after the broker has removed its old membership. If it is
    /// empty, the member is dynamic.
    pub instance_id: String,
    /// Client id that is sent to the brokers. Default `spin-kafka-trigger`.
    pub client_id: String,
    /// Where to begin if there is no committed or stored position: `earliest`, `latest`, or a time
    /// such as `2026-11-27T00:00:00Z`. Default `earliest`.
    pub start: Start,
    /// Conditions that a record must meet. A record is handed over if it meets all of them. Other
    /// records are counted in a metric, and their offsets are committed.
    pub filters: Vec<Filter>,
    /// Maximum number of records in a batch. Default 1,000.
    pub batch_records_max: usize,
    /// Maximum size of a batch: the bytes of keys, values and headers, and in addition about 200
    /// bytes for each record and 112 for each header. A larger record is a batch of its own.
    /// Default 1 MiB.
    pub batch_bytes_max: usize,
    /// Time for which a batch with at least one record waits for more records. A full batch does
    /// not wait. At most an hour. Default 5 ms.
    #[serde(rename = "batch_wait_ms", deserialize_with = "milliseconds")]
    pub batch_wait: Duration,
    /// Maximum number of calls that the handler processes at the same time in this process. Batches
    /// and requests for a position count. Default 64.
    pub concurrency_max: usize,
    /// Number of parts of a batch that are handled at the same time. The batch is split by the keys
    /// of its records; records with the same key keep their order. Only for a handler that stores
    /// no position. With 1, a batch is handled as a whole, in order. Default 1.
    pub key_concurrency: usize,
    /// First pause after a failed attempt. The upper limit of each further pause is twice as long.
    /// Default 100 ms.
    #[serde(rename = "retry_backoff_ms", deserialize_with = "milliseconds")]
    pub retry_backoff: Duration,
    /// Longest pause after a failed attempt. Default 10,000 ms.
    #[serde(rename = "retry_backoff_max_ms", deserialize_with = "milliseconds")]
    pub retry_backoff_max: Duration,
    /// Maximum number of attempts for a batch for which the handler requests a retry. After that it
    /// is split to find the record that causes the failure. With 0 there is no limit. Default 0.
    pub retry_attempts_max: u32,
    /// Number of failed attempts that a record may be part of before it is treated as poison. Only
    /// attempts that the handler did not answer count. Default 3.
    pub poison_attempts: u32,
    /// What happens to poison and to records that the handler rejects. With `dead-letter` they are
    /// written to the dead-letter topic. With `skip` they are logged and counted. With `stop` the
    /// engine stops before it commits their offsets. Default `dead-letter`.
    pub failed_records: FailedRecords,
    /// Topic for dead letters. If it is empty, the topic is `<topic>.dead-letter` for each topic.
    /// The engine does not create it; a partition that needs it waits until it exists.
    pub dead_letter_topic: String,
    /// Topics that may be written by a handler that returns records. They must exist, and none of
    /// them may be one of `topics`. If there is one, each batch is one Kafka transaction: what the
    /// handler returns, the dead letters and the offset are written together or not at all. If it
    /// is empty, a handler that returns a record stops the engine.
    pub output_topics: Vec<String>,
    /// Maximum number of records that the handler may return for a batch. A batch with more is
    /// handed over again in halves, as after a breakdown of the handler. Also the maximum number
    /// of records in a transaction of several batches. Default 10,000.
    pub output_records_max: usize,
    /// Maximum size of the records that the handler may return for a batch: the bytes of keys,
    /// values and headers. As `output_records_max`. This memory is not part of `memory_bytes_max`.
    /// Default 16 MiB.
    pub output_bytes_max: usize,
    /// Time after which the brokers abort a transaction that was not completed. While a process
    /// that was killed has an open transaction, its partitions are not read by other members, and
    /// readers with the isolation level `read_committed` wait. The handler's calls do not count:
    /// a transaction begins after the answer. Default 10,000 ms.
    #[serde(rename = "transaction_timeout_ms", deserialize_with = "milliseconds")]
    pub transaction_timeout: Duration,
    /// Number of consecutive poison records of a partition, with no applied record in between,
    /// after which the engine stops. It then assumes that the handler is broken, not the records.
    /// Default 100.
    pub poison_in_a_row_max: u32,
    /// Time that batches in flight have to finish when a partition is revoked or the engine stops.
    /// After that they are dropped, and are delivered again later. Must be below
    /// `session_timeout_ms`. Default 10,000 ms.
    #[serde(rename = "drain_deadline_ms", deserialize_with = "milliseconds")]
    pub drain_deadline: Duration,
    /// Time without a heartbeat after which the group removes a member. Until then its partitions
    /// are not read. A shorter time moves them sooner, but also removes a member that is only
    /// stalled; its batches in flight are delivered again. With the protocol `consumer` the broker
    /// decides (`group.consumer.session.timeout.ms`, 45 seconds). Default 15,000 ms.
    #[serde(rename = "session_timeout_ms", deserialize_with = "milliseconds")]
    pub session_timeout: Duration,
    /// Maximum size of the records that are fetched ahead of the handler, for each partition that
    /// is being read. Default 16 MiB.
    pub queue_bytes_max: usize,
    /// Maximum memory for records, independent of the lag. It limits how many partitions are read
    /// at the same time; if there are more, they take turns. One partition needs about four times
    /// `queue_bytes_max` (most of it for librdkafka's own structures), six fetches
    /// (`client."fetch.message.max.bytes"`, 1 MiB), two batches and 192 KiB. Calls of
    /// `packed-handler` need one batch more each, which is not included. Default 1 GiB.
    pub memory_bytes_max: usize,
    /// Interval at which the offsets of handled batches are committed. Default 1,000 ms.
    #[serde(rename = "commit_interval_ms", deserialize_with = "milliseconds")]
    pub commit_interval: Duration,
    /// Time without progress after which a partition with lag is unhealthy. Must be longer than the
    /// slowest batch takes. Default 120,000 ms.
    #[serde(rename = "stalled_after_ms", deserialize_with = "milliseconds")]
    pub stalled_after: Duration,
    /// Lag for each replica, used for the metric that suggests the number of replicas. Default
    /// 10,000.
    pub lag_per_replica: u64,
    /// Bearer token for SASL OAUTHBEARER. The expiry is read from the token if it is a JWT; another
    /// token is assumed to remain valid. It is never printed.
    pub oauth_token: Option<Secret>,
    /// OpenID Connect provider that issues the tokens for SASL OAUTHBEARER. A table. Give either
    /// this or `oauth_token`.
    pub oauth: Option<OidcSettings>,
    /// Further librdkafka properties (TLS, SASL, fetch sizes), by librdkafka's names. Properties
    /// that the settings above or the engine determine are an error. Values are never printed.
    pub client: ClientProperties,
}

/// How the partitions are assigned to the members of the group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum GroupProtocol {
    /// The group's leader assigns them, with the assignor `cooperative-sticky`.
    #[default]
    Classic,
    /// The broker assigns them (KIP-848; Kafka 4.0 or newer).
    Consumer,
}

/// What happens to a record that cannot be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailedRecords {
    /// It is written to the dead-letter topic. Its offset is committed after the broker has
    /// acknowledged that.
    #[default]
    DeadLetter,
    /// It is counted and logged, and its offset is committed.
    Skip,
    /// The engine stops before committing the record's offset. If the handler rejected the record
    /// and applied the rest of its batch, the record is delivered again after the next start.
    Stop,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topics: Vec::new(),
            group: String::new(),
            group_protocol: GroupProtocol::default(),
            instance_id: String::new(),
            client_id: "spin-kafka-trigger".into(),
            start: Start::default(),
            filters: Vec::new(),
            batch_records_max: 1_000,
            batch_bytes_max: 1024 * 1024,
            batch_wait: Duration::from_millis(5),
            concurrency_max: 64,
            key_concurrency: 1,
            retry_backoff: Duration::from_millis(100),
            retry_backoff_max: Duration::from_secs(10),
            retry_attempts_max: 0,
            poison_attempts: 3,
            failed_records: FailedRecords::default(),
            dead_letter_topic: String::new(),
            output_topics: Vec::new(),
            output_records_max: 10_000,
            output_bytes_max: 16 * 1024 * 1024,
            transaction_timeout: Duration::from_secs(10),
            poison_in_a_row_max: 100,
            drain_deadline: Duration::from_secs(10),
            session_timeout: Duration::from_secs(15),
            queue_bytes_max: 16 * 1024 * 1024,
            memory_bytes_max: 1024 * 1024 * 1024,
            commit_interval: Duration::from_secs(1),
            stalled_after: Duration::from_secs(120),
            lag_per_replica: 10_000,
            oauth_token: None,
            oauth: None,
            client: ClientProperties::default(),
        }
    }
}

impl Config {
    /// Checks each setting and the conditions between settings. The error names the setting.
    pub fn validate(&self) -> Result<(), Error> {
        Error::check("brokers", !self.brokers.trim().is_empty(), "give at least one `host:port`")?;
        Error::check("group", !self.group.is_empty(), "give the consumer group's name")?;
        topics::check_all(&self.topics, &self.dead_letter_topic)?;
        self.validate_handling()?;
        let session = (MILLISECOND..=SESSION_TIMEOUT_MAX).contains(&self.session_timeout);
        Error::check("session_timeout_ms", session, "must be between 1 and 3,600,000")?;
        let drain = self.drain_deadline < self.session_timeout;
        Error::check("drain_deadline_ms", drain, "must be below `session_timeout_ms`")?;
        let queue = (1024..=QUEUE_BYTES_MAX).contains(&self.queue_bytes_max);
        Error::check("queue_bytes_max", queue, "must be between 1 KiB and 2 GiB")?;
        let memory = self.partitions_at_once() > 0;
        Error::check(
            "memory_bytes_max",
            memory,
            "has no room for one partition; see `queue_bytes_max`",
        )?;
        let commit = (MILLISECOND..=COMMIT_INTERVAL_MAX).contains(&self.commit_interval);
        Error::check("commit_interval_ms", commit, "must be between 1 and 86,400,000")?;
        Error::check("output_records_max", self.output_records_max > 0, "must be at least 1")?;
        Error::check("output_bytes_max", self.output_bytes_max > 0, "must be at least 1")?;
        let transaction = TRANSACTION_TIMEOUT.contains(&self.transaction_timeout);
        Error::check("transaction_timeout_ms", transaction, "must be between 1,000 and 900,000")?;
        self.check_output()?;
        oauth::validate(self.oauth_token.as_ref(), self.oauth.as_ref(), &self.client)?;
        self.client.refuse_unsupported()?;
        Ok(self.client.refuse_owned(&OWNED)?)
    }

    /// Checks the settings that do not depend on Kafka: those about batches, the handler's calls,
    /// failed records and stalls.
    #[doc(hidden)]
    pub fn validate_handling(&self) -> Result<(), Error> {
        for filter in &self.filters {
            filter.validate()?;
        }
        Error::check("batch_records_max", self.batch_records_max > 0, "must be at least 1")?;
        Error::check("batch_bytes_max", self.batch_bytes_max > 0, "must be at least 1")?;
        let wait = self.batch_wait <= BATCH_WAIT_MAX;
        Error::check("batch_wait_ms", wait, "must not be above 3,600,000")?;
        let batches = (1..=Semaphore::MAX_PERMITS).contains(&self.concurrency_max);
        Error::check("concurrency_max", batches, "must be at least 1")?;
        Error::check("key_concurrency", self.key_concurrency > 0, "must be at least 1")?;
        Error::check("poison_attempts", self.poison_attempts > 0, "must be at least 1")?;
        Error::check("poison_in_a_row_max", self.poison_in_a_row_max > 0, "must be at least 1")?;
        Error::check("retry_backoff_ms", !self.retry_backoff.is_zero(), "must be at least 1")?;
        let backoff = self.retry_backoff_max >= self.retry_backoff;
        Error::check("retry_backoff_max_ms", backoff, "must not be below `retry_backoff_ms`")?;
        Error::check("stalled_after_ms", !self.stalled_after.is_zero(), "must be at least 1")?;
        Error::check("lag_per_replica", self.lag_per_replica > 0, "must be at least 1")?;
        Ok(())
    }

    /// Checks what a handler that returns records needs.
    fn check_output(&self) -> Result<(), Error> {
        if !self.is_transactional() {
            return Ok(());
        }
        topics::check_output(&self.output_topics, &self.topics)?;
        let parts = self.key_concurrency == 1;
        Error::check("key_concurrency", parts, "must be 1 if there are `output_topics`")?;
        let isolation = self.client.get("isolation.level").map(Secret::expose);
        Error::check(
            "client.isolation.level",
            isolation.is_none_or(|level| matches!(level, "" | "read_committed")),
            "must be `read_committed` if there are `output_topics`",
        )
    }

    /// Whether records, dead letters and offsets are written in transactions.
    pub(crate) fn is_transactional(&self) -> bool {
        !self.output_topics.is_empty()
    }

    /// How many partitions can be read at once within `memory_bytes_max`.
    pub(crate) fn partitions_at_once(&self) -> usize {
        let partition_bytes =
            partition_bytes_max(self.queue_bytes_max, self.batch_bytes_max, &self.client);
        (self.memory_bytes_max / partition_bytes).min(Semaphore::MAX_PERMITS)
    }

    /// The name of the dead-letter topic for the records of `topic`.
    pub fn dead_letter_topic_of<'a>(&'a self, topic: &str) -> Cow<'a, str> {
        if self.dead_letter_topic.is_empty() {
            Cow::Owned(format!("{topic}{}", topics::DEAD_LETTER_SUFFIX))
        } else {
            Cow::Borrowed(&self.dead_letter_topic)
        }
    }

    /// The dead-letter topics that can be derived from the settings: those of topics that match a
    /// pattern are not known.
    pub fn dead_letter_topics(&self) -> BTreeSet<String> {
        if self.failed_records != FailedRecords::DeadLetter {
            return BTreeSet::new();
        }
        if !self.dead_letter_topic.is_empty() {
            return BTreeSet::from([self.dead_letter_topic.clone()]);
        }
        let named = self.topics.iter().filter(|topic| !is_pattern(topic));
        named.map(|topic| self.dead_letter_topic_of(topic).into_owned()).collect()
    }

    /// The source of the tokens for SASL OAUTHBEARER, if one is set.
    pub fn tokens(&self) -> Option<TokenSource> {
        TokenSource::of(self.oauth_token.as_ref(), self.oauth.as_ref())
    }
}

/// Reads a number of milliseconds.
fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config::new("localhost:9092", ["sales-topic"], "group")
    }

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = valid();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_bound_is_checked_and_named() {
        let ms = Duration::from_millis;
        valid().validate().unwrap();
        assert!(refused(|c| c.brokers = " ".into()).contains("brokers"));
        assert!(refused(|c| c.group.clear()).contains("group"));
        assert!(refused(|c| c.topics.clear()).contains("topics"));
        assert!(refused(|c| c.concurrency_max = 0).contains("concurrency_max"));
        assert!(refused(|c| c.key_concurrency = 0).contains("key_concurrency"));
        assert!(refused(|c| c.poison_attempts = 0).contains("poison_attempts"));
        assert!(refused(|c| c.poison_in_a_row_max = 0).contains("poison_in_a_row_max"));
        assert!(refused(|c| c.memory_bytes_max = 1024).contains("memory_bytes_max"));
        assert!(refused(|c| c.stalled_after = ms(0)).contains("stalled_after_ms"));
        assert!(refused(|c| c.lag_per_replica = 0).contains("lag_per_replica"));
        assert!(refused(|c| c.batch_records_max = 0).contains("batch_records_max"));
        assert!(refused(|c| c.batch_bytes_max = 0).contains("batch_bytes_max"));
        assert!(refused(|c| c.batch_wait = Duration::MAX).contains("batch_wait_ms"));
        assert!(refused(|c| c.batch_wait = ms(3_600_001)).contains("batch_wait_ms"));
        assert!(refused(|c| c.retry_backoff = ms(0)).contains("retry_backoff_ms"));
        assert!(refused(|c| c.retry_backoff_max = ms(1)).contains("retry_backoff_max_ms"));
        assert!(refused(|c| c.drain_deadline = ms(15_000)).contains("below `session_timeout_ms`"));
        assert!(refused(|c| c.session_timeout = ms(3_600_001)).contains("session_timeout_ms"));
        assert!(refused(|c| c.queue_bytes_max = 1).contains("queue_bytes_max"));
        assert!(refused(|c| c.commit_interval = ms(0)).contains("commit_interval_ms"));
        assert!(refused(|c| c.output_records_max = 0).contains("output_records_max"));
        assert!(refused(|c| c.output_bytes_max = 0).contains("output_bytes_max"));
        assert!(refused(|c| c.transaction_timeout = ms(999)).contains("transaction_timeout_ms"));
    }

    #[test]
    fn output_topics_need_settings_with_which_each_record_is_written_once() {
        let refused = |change: fn(&mut Config)| {
            refused(|config| {
                config.output_topics = vec!["totals".into()];
                change(config);
            })
        };
        valid().output_topics(["totals"]).client([("isolation.level", "")]).validate().unwrap();
        assert!(refused(|c| c.output_topics = vec!["a b".into()]).contains("output_topics"));
        assert!(refused(|c| c.output_topics = vec!["^a".into()]).contains("output_topics"));
        assert!(refused(|c| c.output_topics = vec!["sales-topic".into()]).contains("read again"));
        assert!(refused(|c| c.key_concurrency = 2).contains("key_concurrency"));
        let uncommitted: fn(&mut Config) = |config| {
            config.client = [("isolation.level", "read_uncommitted")].into_iter().collect();
        };
        assert!(refused(uncommitted).contains("isolation.level"));
        for name in ["transactional.id", "transaction.timeout.ms"] {
            let config = valid().client([(name, "1")]);
            assert!(config.validate().unwrap_err().to_string().contains(name));
        }
    }

    #[test]
    fn defaults_stand_where_nothing_is_said() {
        let config: Config =
            toml::from_str("brokers = 'localhost:9092'\ntopics = ['sales-topic']\ngroup = 'group'")
                .unwrap();
        assert_eq!(config, valid());
        assert_eq!(config.start, Start::Earliest);
    }

    #[test]
    fn an_unknown_setting_is_refused() {
        let error = toml::from_str::<Config>("broker = 'localhost:9092'").unwrap_err();
        assert!(error.to_string().contains("unknown field `broker`"), "{error}");
    }
}
