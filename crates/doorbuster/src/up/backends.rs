//! Kafka and Valkey behind the pipeline: given, embedded, or real ones on this machine.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use component_host::App;
use host_producer::{NewTopic, TopicState, ensure_topic};
use local_servers::{Kafka, KafkaConfig, Valkey, ValkeyConfig};
use spin_kafka_trigger::{FailedRecords, is_pattern};
use trigger_kafka::TriggerConfig;
use valkey_codec::Servers;

use super::args::Args;
use super::embedded::EmbeddedKafka;

/// Partitions of a topic that is missing.
const PARTITIONS: i32 = 3;
/// Of a dead-letter topic that is missing: letters keep the order they were written in.
const DEAD_LETTER_PARTITIONS: i32 = 1;
/// A dead letter is its record and some headers: it must fit where the record did.
const DEAD_LETTER_BYTES_MAX: &str = "2097152";

/// Where the application's records and results live.
pub struct Backends {
    kafka: KafkaBackend,
    /// None if it was given.
    valkey: Option<Box<Valkey>>,
    /// `host:port[,…]`.
    brokers: String,
    valkey_url: String,
    /// What the URL says.
    valkey_servers: Servers,
}

enum KafkaBackend {
    Given,
    Embedded(EmbeddedKafka),
    Local(Box<Kafka>),
}

impl Backends {
    /// Starts what was not given.
    pub async fn start(args: &Args) -> Result<Self> {
        let (kafka, brokers) = match (&args.kafka, &args.local) {
            (Some(brokers), _) => (KafkaBackend::Given, brokers.clone()),
            (None, Some(dir)) => {
                let config =
                    KafkaConfig { data_dir: Some(dir.join("kafka")), ..KafkaConfig::default() };
                let kafka = Kafka::start(config).await.context("cannot start Kafka")?;
                let brokers = kafka.bootstrap();
                (KafkaBackend::Local(Box::new(kafka)), brokers)
            }
            (None, None) => {
                let kafka = EmbeddedKafka::start()?;
                let brokers = kafka.bootstrap();
                (KafkaBackend::Embedded(kafka), brokers)
            }
        };
        let (valkey, valkey_url) = match &args.valkey {
            Some(url) => (None, url.clone()),
            None => {
                let config = ValkeyConfig {
                    data_dir: args.local.as_ref().map(|dir| dir.join("valkey")),
                    append_only: args.local.is_some(),
                    ..ValkeyConfig::default()
                };
                let valkey = Valkey::start(config).await.context("cannot start Valkey")?;
                let url = valkey.url();
                (Some(Box::new(valkey)), url)
            }
        };
        let valkey_servers = Servers::parse(&valkey_url).context("--valkey")?;
        Ok(Self { kafka, valkey, brokers, valkey_url, valkey_servers })
    }

    /// Kafka's bootstrap brokers.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Valkey's URL without user and password.
    pub fn valkey_public_url(&self) -> String {
        self.valkey_servers.public_url()
    }

    /// Whether some part keeps its data in memory only.
    pub fn forgets(&self) -> bool {
        matches!(self.kafka, KafkaBackend::Embedded(_))
    }

    /// The variables that tell the application where its backends are, as far as it declares
    /// them.
    pub fn variables(&self, app: &App) -> BTreeMap<String, String> {
        [
            ("kafka_brokers", self.brokers.clone()),
            ("valkey_url", self.valkey_url.clone()),
            ("valkey_address", self.valkey_servers.to_string()),
        ]
        .into_iter()
        .filter(|(name, _)| app.variables.contains_key(*name))
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// Makes the trigger's topics, and those for its dead letters, if they are missing.
    pub async fn ensure_topics(&self, trigger: &TriggerConfig) -> Result<()> {
        let engine = &trigger.engine;
        let named = engine.topics.iter().filter(|topic| !is_pattern(topic));
        let mut for_letters = BTreeSet::new();
        for topic in named {
            self.ensure(NewTopic::new(topic, PARTITIONS)).await?;
            for_letters.insert(engine.dead_letter_topic(topic).into_owned());
        }
        if !engine.dead_letter_topic.is_empty() {
            for_letters.insert(engine.dead_letter_topic.clone());
        }
        if engine.failed_records == FailedRecords::DeadLetter {
            let settings = &[("max.message.bytes", DEAD_LETTER_BYTES_MAX)];
            for name in &for_letters {
                let partitions = DEAD_LETTER_PARTITIONS;
                self.ensure(NewTopic { name, partitions, settings }).await?;
            }
        }
        Ok(())
    }

    async fn ensure(&self, topic: NewTopic<'_>) -> Result<()> {
        if let KafkaBackend::Embedded(kafka) = &self.kafka {
            return kafka.create_topic(topic.name, topic.partitions);
        }
        let state = ensure_topic(&self.brokers, topic).await?;
        if matches!(state, TopicState::Created) {
            tracing::info!(topic = topic.name, partitions = topic.partitions, "topic created");
        }
        Ok(())
    }

    /// Stops what was started, in the data's order.
    pub async fn stop(self) -> Result<()> {
        if let KafkaBackend::Local(kafka) = self.kafka {
            kafka.stop().await.context("Kafka did not stop cleanly")?;
        }
        if let Some(valkey) = self.valkey {
            valkey.stop().await.context("Valkey did not stop cleanly")?;
        }
        Ok(())
    }
}
