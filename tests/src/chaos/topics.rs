//! Changes of the cluster's topics by an operator or another program, without the proxies.

use std::time::Duration;

use anyhow::{Result, ensure};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaResult;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use test_servers::WAIT_LIMIT;

use super::kafka::Kafka;
use crate::in_time;

/// A record of another program.
pub struct Foreign {
    /// The topic.
    pub topic: &'static str,
    /// The partition; None for the one of the key.
    pub partition: Option<i32>,
    /// The key of the record, which is its idempotency key, too.
    pub key: String,
    /// The value.
    pub value: Vec<u8>,
    /// The record's timestamp in ms since 1970; -1 for none.
    pub timestamp_ms: i64,
}

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completion {
    /// Its records count.
    Commit,
    /// Its records do not count.
    Abort,
}

impl Kafka {
    /// Creates a topic if it does not exist.
    pub async fn make_topic(&self, topic: &str, partitions: i32) -> Result<()> {
        let config = ProducerConfig::new(self.cluster.unproxied());
        ensure_topic(&config, NewTopic::new(topic, partitions)).await?;
        Ok(())
    }

    /// Deletes a topic, and waits until it does not exist any more.
    pub async fn delete_topic(&self, topic: &str) -> Result<()> {
        let admin = self.admin()?;
        answered(admin.delete_topics(&[topic], &options()).await?)?;
        in_time("the topic is gone", async || {
            let metadata = admin.inner().fetch_metadata(Some(topic), WAIT_LIMIT).ok()?;
            metadata.topics().first()?.error().map(drop)
        })
        .await?;
        Ok(())
    }

    /// Sets the maximum size of a topic's batches; None for the brokers' default.
    pub async fn limit_batches(&self, topic: &str, bytes: Option<&str>) -> Result<()> {
        let altered = AlterConfig::new(ResourceSpecifier::Topic(topic));
        let altered = bytes.into_iter().fold(altered, |a, bytes| a.set("max.message.bytes", bytes));
        answered(self.admin()?.alter_configs(&[altered], &options()).await?)
    }

    /// Deletes each partition's records before these offsets.
    pub async fn delete_records(&self, topic: &str, before: &[i64]) -> Result<()> {
        let mut deleted = TopicPartitionList::new();
        for (partition, offset) in (0..).zip(before) {
            deleted.add_partition_offset(topic, partition, Offset::Offset(*offset))?;
        }
        let deleted = self.admin()?.delete_records(&deleted, &options()).await?;
        deleted.elements().iter().try_for_each(|partition| partition.error())?;
        Ok(())
    }

    /// Writes a record that is not a sale.
    pub async fn write_rubbish(&self, topic: &str) -> Result<()> {
        let topic = topic.to_owned();
        self.produce(&[], move |producer| {
            send(producer, BaseRecord::to(&topic).key("rubbish").payload("rubbish"))?;
            producer.flush(WAIT_LIMIT)
        })
        .await
    }

    /// Writes records.
    pub async fn write(&self, records: Vec<Foreign>) -> Result<()> {
        // Without retries that change the order of the records.
        self.produce(&[("enable.idempotence", "true")], move |producer| {
            records.iter().try_for_each(|foreign| write(producer, foreign))?;
            producer.flush(WAIT_LIMIT)
        })
        .await
    }

    /// Writes records in a transaction that stays open for a while.
    pub async fn write_in_transaction(
        &self,
        records: Vec<Foreign>,
        open: Duration,
        completion: Completion,
    ) -> Result<()> {
        self.produce(&[("transactional.id", "foreign")], move |producer| {
            producer.init_transactions(WAIT_LIMIT)?;
            producer.begin_transaction()?;
            records.iter().try_for_each(|foreign| write(producer, foreign))?;
            producer.flush(WAIT_LIMIT)?;
            // There is no condition to wait for: the transaction is open for this time.
            std::thread::sleep(open);
            match completion {
                Completion::Commit => producer.commit_transaction(WAIT_LIMIT),
                Completion::Abort => producer.abort_transaction(WAIT_LIMIT),
            }
        })
        .await
    }

    async fn produce(
        &self,
        settings: &[(&str, &str)],
        job: impl FnOnce(&BaseProducer) -> KafkaResult<()> + Send + 'static,
    ) -> Result<()> {
        let mut config = self.client();
        settings.iter().for_each(|(name, value)| {
            config.set(*name, *value);
        });
        Ok(tokio::task::spawn_blocking(move || job(&config.create::<BaseProducer>()?)).await??)
    }

    fn admin(&self) -> Result<AdminClient<DefaultClientContext>> {
        Ok(self.client().create()?)
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.cluster.unproxied()).set("acks", "all");
        config
    }
}

fn write(producer: &BaseProducer, foreign: &Foreign) -> KafkaResult<()> {
    let Foreign { topic, partition, key, value, timestamp_ms } = foreign;
    let headers = OwnedHeaders::new().insert(Header { key: "idempotency-key", value: Some(key) });
    let mut record = BaseRecord::to(topic).key(key.as_str()).payload(value.as_slice());
    record.partition = *partition;
    send(producer, record.headers(headers).timestamp(*timestamp_ms))
}

fn send<P: rdkafka::message::ToBytes + ?Sized>(
    producer: &BaseProducer,
    record: BaseRecord<'_, str, P>,
) -> KafkaResult<()> {
    producer.send(record).map_err(|(error, _)| error)
}

fn options() -> AdminOptions {
    AdminOptions::new().operation_timeout(Some(WAIT_LIMIT)).request_timeout(Some(WAIT_LIMIT))
}

fn answered<T, E: std::fmt::Debug>(answers: Vec<Result<T, E>>) -> Result<()> {
    for answer in answers {
        ensure!(answer.is_ok(), "the brokers refused: {:?}", answer.err());
    }
    Ok(())
}
