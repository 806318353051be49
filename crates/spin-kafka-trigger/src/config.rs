//! The engine's settings.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use serde::Deserialize;

use crate::properties::ClientProperties;
use crate::secret::Secret;
use crate::{Error, oauth};

/// librdkafka's own `max.poll.interval.ms`, which may not be below the session timeout.
const POLL_INTERVAL_MAX_MS: u64 = 300_000;
/// Highest session timeout that librdkafka takes.
const SESSION_TIMEOUT_MAX_MS: u64 = 3_600_000;
/// Highest `queued.max.messages.kbytes` that librdkafka takes, in bytes.
const QUEUE_BYTES_MAX: usize = (i32::MAX as usize / 1024) * 1024;
/// A partition whose queue was full asks for more after this pause. librdkafka's default of a
/// second would leave the handler idle for most of it.
const QUEUE_BACKOFF_MS: &str = "5";

/// How the group reads, batches, retries and drains. Unknown settings are refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Bootstrap brokers, `host:port`, separated by commas. Required.
    pub brokers: String,
    /// Names of the topics to read; at least one. A topic that is missing is read once it
    /// appears; nothing creates it.
    pub topics: Vec<String>,
    /// The consumer group. Required.
    pub group: String,
    /// The name this client gives itself at the broker. Default `spin-kafka-trigger`.
    pub client_id: String,
    /// Where to begin without a committed or stored position. Default `earliest`.
    pub start: Start,
    /// Most records in a batch. Default 1,000.
    pub batch_records_max: usize,
    /// Most bytes of keys, values and headers in a batch. A record larger than this comes
    /// alone. Default 1 MiB.
    pub batch_bytes_max: usize,
    /// How long a batch that has a record waits for more; a full one never waits. Default 5.
    pub batch_wait_ms: u64,
    /// The first pause after a failed batch; each further one is twice as long. Default 100.
    pub retry_backoff_ms: u64,
    /// The longest pause after a failed batch; retries go on at it for ever. Default 10,000.
    pub retry_backoff_max_ms: u64,
    /// How long batches in flight get to end when a partition is revoked or the engine stops;
    /// then they are dropped and come again. Below `session_timeout_ms`. Default 10,000.
    pub drain_deadline_ms: u64,
    /// The group takes the partitions of a member that is silent for so long. Default 45,000.
    pub session_timeout_ms: u64,
    /// Most bytes that are fetched ahead of the handler, for each partition. It may be
    /// overshot by one fetch (`client."fetch.message.max.bytes"`). Default 16 MiB.
    pub queue_bytes_max: usize,
    /// How often the offsets of handled batches are committed. Default 1,000.
    pub commit_interval_ms: u64,
    /// The bearer token for SASL OAUTHBEARER. A JWT says itself when it expires; another token
    /// is taken to last. Never printed. Default none.
    pub oauth_token: Option<Secret>,
    /// Further librdkafka properties (TLS, SASL, fetch sizes), by librdkafka's names. Those
    /// that the settings above or the engine decide are refused. Values are never printed.
    pub client: ClientProperties,
}

/// Where to begin in a log without a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// At the oldest record the log holds.
    #[default]
    Earliest,
    /// After the newest record.
    Latest,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            brokers: String::new(),
            topics: Vec::new(),
            group: String::new(),
            client_id: "spin-kafka-trigger".into(),
            start: Start::default(),
            batch_records_max: 1_000,
            batch_bytes_max: 1024 * 1024,
            batch_wait_ms: 5,
            retry_backoff_ms: 100,
            retry_backoff_max_ms: 10_000,
            drain_deadline_ms: 10_000,
            session_timeout_ms: 45_000,
            queue_bytes_max: 16 * 1024 * 1024,
            commit_interval_ms: 1_000,
            oauth_token: None,
            client: ClientProperties::default(),
        }
    }
}

impl Config {
    /// Checks every setting and how they go together; the error names the setting.
    pub fn validate(&self) -> Result<(), Error> {
        check("brokers", !self.brokers.trim().is_empty(), "give at least one `host:port`")?;
        check("group", !self.group.is_empty(), "give the consumer group's name")?;
        check("topics", !self.topics.is_empty(), "give at least one topic")?;
        // librdkafka takes a leading ^ for a regular expression.
        let name = |topic: &String| !topic.is_empty() && !topic.starts_with('^');
        check("topics", self.topics.iter().all(name), "give names; patterns are not supported")?;
        check("batch_records_max", self.batch_records_max > 0, "must be at least 1")?;
        check("batch_bytes_max", self.batch_bytes_max > 0, "must be at least 1")?;
        check("retry_backoff_ms", self.retry_backoff_ms > 0, "must be at least 1")?;
        let backoff = self.retry_backoff_max_ms >= self.retry_backoff_ms;
        check("retry_backoff_max_ms", backoff, "must not be below `retry_backoff_ms`")?;
        let session = (1..=SESSION_TIMEOUT_MAX_MS).contains(&self.session_timeout_ms);
        check("session_timeout_ms", session, "must be between 1 and 3,600,000")?;
        let drain = self.drain_deadline_ms < self.session_timeout_ms;
        check("drain_deadline_ms", drain, "must be below `session_timeout_ms`")?;
        let queue = (1024..=QUEUE_BYTES_MAX).contains(&self.queue_bytes_max);
        check("queue_bytes_max", queue, "must be between 1 KiB and 2 GiB")?;
        let commit = (1..=86_400_000).contains(&self.commit_interval_ms);
        check("commit_interval_ms", commit, "must be between 1 and 86,400,000")?;
        if let Some(token) = &self.oauth_token {
            oauth::validate(token, &self.client)?;
        }
        self.client.validate()
    }

    /// The settings in librdkafka's words.
    pub(crate) fn to_native(&self) -> ClientConfig {
        let mut native = ClientConfig::new();
        native
            .set(
                "max.poll.interval.ms",
                self.session_timeout_ms.max(POLL_INTERVAL_MAX_MS).to_string(),
            )
            .set("fetch.queue.backoff.ms", QUEUE_BACKOFF_MS)
            .set("socket.nagle.disable", "true");
        if self.oauth_token.is_some() {
            native.set("sasl.mechanism", oauth::MECHANISM);
        }
        for (name, value) in self.client.iter() {
            native.set(name, value);
        }
        native
            .set("bootstrap.servers", self.brokers.trim())
            .set("group.id", &self.group)
            .set("client.id", &self.client_id)
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set("queued.max.messages.kbytes", (self.queue_bytes_max / 1024).to_string())
            .set("auto.commit.interval.ms", self.commit_interval_ms.to_string())
            .set("partition.assignment.strategy", "cooperative-sticky")
            // Only what the handler has applied is stored, and only what is stored committed.
            .set("enable.auto.commit", "true")
            .set("enable.auto.offset.store", "false")
            // The engine always reads from an explicit position; this is for a position that
            // the log lost meanwhile, which the engine notices and reports.
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "false")
            .set("allow.auto.create.topics", "false")
            .set_log_level(RDKafkaLogLevel::Info);
        native
    }

    pub(crate) fn batch_wait(&self) -> Duration {
        Duration::from_millis(self.batch_wait_ms)
    }

    pub(crate) fn drain_deadline(&self) -> Duration {
        Duration::from_millis(self.drain_deadline_ms)
    }
}

fn check(setting: &'static str, holds: bool, reason: &str) -> Result<(), Error> {
    if holds {
        Ok(())
    } else {
        Err(Error::Config { setting: setting.into(), reason: reason.into() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn valid() -> Config {
        Config {
            brokers: "localhost:9092".into(),
            topics: vec!["sales-topic".into()],
            group: "group".into(),
            ..Config::default()
        }
    }

    fn refused(change: impl FnOnce(&mut Config)) -> String {
        let mut config = valid();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn every_bound_is_checked_and_named() {
        valid().validate().unwrap();
        assert!(refused(|c| c.brokers = " ".into()).contains("brokers"));
        assert!(refused(|c| c.group.clear()).contains("group"));
        assert!(refused(|c| c.topics.clear()).contains("topics"));
        assert!(refused(|c| c.topics.push("^sales.*".into())).contains("patterns"));
        assert!(refused(|c| c.batch_records_max = 0).contains("batch_records_max"));
        assert!(refused(|c| c.batch_bytes_max = 0).contains("batch_bytes_max"));
        assert!(refused(|c| c.retry_backoff_ms = 0).contains("retry_backoff_ms"));
        assert!(refused(|c| c.retry_backoff_max_ms = 1).contains("retry_backoff_max_ms"));
        assert!(refused(|c| c.drain_deadline_ms = 45_000).contains("below `session_timeout_ms`"));
        assert!(refused(|c| c.session_timeout_ms = 3_600_001).contains("session_timeout_ms"));
        assert!(refused(|c| c.queue_bytes_max = 1).contains("queue_bytes_max"));
        assert!(refused(|c| c.commit_interval_ms = 0).contains("commit_interval_ms"));
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

    #[test]
    fn an_absurd_session_timeout_still_fits_librdkafka() {
        let config = Config { session_timeout_ms: 3_600_000, ..valid() };
        config.validate().unwrap();
        config.to_native().create::<rdkafka::consumer::BaseConsumer>().unwrap();
    }
}
