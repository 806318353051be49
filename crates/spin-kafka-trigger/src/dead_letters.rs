//! Writes records that were given up to their dead-letter topic.

use std::sync::OnceLock;

use futures::future::join_all;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::FutureProducer;

use crate::client_log::Plain;
use crate::{Batch, Config, FailureClass, Message, client_config, record};

/// Longest reason in a header; a trap's backtrace may be long.
const REASON_BYTES_MAX: usize = 4 * 1024;

/// Headers of ours on a dead letter.
pub mod headers {
    /// The consumer group.
    pub const GROUP: &str = "spin-kafka.errors.group";
    /// When the record was given up, RFC 3339.
    pub const TIME: &str = "spin-kafka.errors.time";
    /// Failures that the record had its part in.
    pub const ATTEMPTS: &str = "spin-kafka.errors.attempts";
    /// The [`FailureClass`](crate::FailureClass).
    pub const CLASS: &str = "spin-kafka.errors.class";
    /// The record's own timestamp, milliseconds since 1970-01-01 UTC.
    pub const TIMESTAMP: &str = "spin-kafka.errors.timestamp";
    /// Kafka Connect's: where the record lay.
    pub const TOPIC: &str = "__connect.errors.topic";
    /// Kafka Connect's.
    pub const PARTITION: &str = "__connect.errors.partition";
    /// Kafka Connect's.
    pub const OFFSET: &str = "__connect.errors.offset";
    /// Kafka Connect's: the reason.
    pub const REASON: &str = "__connect.errors.exception.message";

    /// What the names of headers that tell of an error begin with.
    pub const PREFIXES: [&str; 3] =
        ["spin-kafka.errors.", "__connect.errors.", "__streams.errors."];
}

/// A record that was given up, and why.
pub(crate) struct Letter<'a> {
    pub batch: &'a Batch,
    pub record: &'a Message,
    pub class: FailureClass,
    /// Failures that the record had its part in.
    pub attempts: u32,
    pub reason: &'a str,
}

/// The producer of dead letters. Its client is made with the first letter.
pub(crate) struct DeadLetters {
    config: Config,
    producer: OnceLock<FutureProducer<Plain>>,
}

impl DeadLetters {
    pub fn new(config: Config) -> Self {
        Self { config, producer: OnceLock::new() }
    }

    /// Answers once the broker has every letter; else those that it does not have, and why.
    pub async fn send<'a>(
        &self,
        letters: Vec<Letter<'a>>,
    ) -> Result<(), (Vec<Letter<'a>>, String)> {
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(reason) => return Err((letters, reason)),
        };
        let sent = join_all(letters.iter().map(|letter| self.send_one(producer, letter))).await;
        let mut fault = None;
        let mut left = Vec::new();
        for (letter, sent) in letters.into_iter().zip(sent) {
            if let Err(reason) = sent {
                left.push(letter);
                fault = Some(reason);
            }
        }
        fault.map_or(Ok(()), |reason| Err((left, reason)))
    }

    fn producer(&self) -> Result<&FutureProducer<Plain>, String> {
        if let Some(producer) = self.producer.get() {
            return Ok(producer);
        }
        let native = client_config::producer(&self.config);
        let made = FutureProducer::from_config_and_context(&native, Plain::new(&self.config))
            .map_err(|error| error.to_string())?;
        Ok(self.producer.get_or_init(|| made))
    }

    async fn send_one(
        &self,
        producer: &FutureProducer<Plain>,
        letter: &Letter<'_>,
    ) -> Result<(), String> {
        let topic = self.config.dead_letter_topic(&letter.batch.topic);
        let headers = letter.headers(&self.config.group);
        let sent = record::write(producer, &topic, letter.record, headers).await;
        sent.map_err(|error| error.to_string())
    }
}

impl Letter<'_> {
    /// The record's own headers, then what happened: in our words, in Kafka Connect's and in
    /// those of Kafka Streams (KIP-1034). The letter's own timestamp is when it was written,
    /// so that the topic keeps it for its full time.
    fn headers(&self, group: &str) -> OwnedHeaders {
        let Self { batch, record, class, attempts, .. } = self;
        let mut all = record::headers(record.headers.iter());
        let (partition, offset) = (batch.partition.to_string(), record.offset.to_string());
        let class = class.to_string();
        let reason = self.reason();
        let exception = format!("spin-kafka.{class}");
        let said = [
            (headers::GROUP, group),
            (headers::TIME, &jiff::Timestamp::now().to_string()),
            (headers::ATTEMPTS, &attempts.to_string()),
            (headers::CLASS, &class),
            (headers::TOPIC, &batch.topic),
            (headers::PARTITION, &partition),
            (headers::OFFSET, &offset),
            ("__connect.errors.connector.name", group),
            ("__connect.errors.stage", "TASK_PUT"),
            ("__connect.errors.exception.class.name", &exception),
            (headers::REASON, reason),
            ("__streams.errors.topic", &batch.topic),
            ("__streams.errors.partition", &partition),
            ("__streams.errors.offset", &offset),
            ("__streams.errors.exception", &exception),
            ("__streams.errors.message", reason),
        ];
        for (key, value) in said {
            all = all.insert(Header { key, value: Some(value) });
        }
        if let Some(timestamp) = record.timestamp_ms {
            let value = timestamp.to_string();
            all = all.insert(Header { key: headers::TIMESTAMP, value: Some(&value) });
        }
        all
    }

    fn reason(&self) -> &str {
        let end = self.reason.floor_char_boundary(REASON_BYTES_MAX);
        self.reason.get(..end).unwrap_or_default()
    }
}
