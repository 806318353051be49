//! Writes records that were given up to their dead-letter topic.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use futures::future::join_all;
use kafka_client::{BasicContext, is_replaced_after};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::{FutureProducer, Producer as _};

use crate::letter::Letter;
use crate::refusal::is_too_large;
use crate::{Config, Message, client_config, record};

/// The producer of dead letters. Its client is created for the first letter, and is replaced after
/// an error that makes it unusable.
pub(crate) struct DeadLetters {
    config: Config,
    client: Mutex<Option<Arc<Client>>>,
}

/// One Kafka client.
struct Client {
    native: FutureProducer<BasicContext>,
    /// The error because of which the client must be replaced.
    ended: OnceLock<RDKafkaErrorCode>,
}

impl Client {
    fn new(config: &Config) -> Result<Self, KafkaError> {
        let context = BasicContext::new(config.tokens());
        let native = client_config::producer(config).create(context)?;
        Ok(Self { native, ended: OnceLock::new() })
    }

    /// The error because of which the client must be replaced, if there was one.
    fn ended(&self) -> Option<RDKafkaErrorCode> {
        let fatal = || self.native.client().fatal_error().map(|(code, _)| code);
        self.ended.get().copied().or_else(fatal)
    }

    /// Writes a record; resolves when the broker has acknowledged it.
    async fn write(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: OwnedHeaders,
    ) -> Result<(), KafkaError> {
        let written = record::write(&self.native, topic, key, value, headers).await;
        let code = written.as_ref().err().and_then(KafkaError::rdkafka_error_code);
        if let Some(code) = code.filter(|code| is_replaced_after(*code, true)) {
            self.ended.get_or_init(|| code);
        }
        written
    }
}

impl DeadLetters {
    pub fn new(config: Config) -> Self {
        Self { config, client: Mutex::new(None) }
    }

    /// Writes the letters; resolves when the broker has acknowledged all of them. The error lists
    /// the letters that were not acknowledged, with the reason.
    pub async fn send<'a>(
        &self,
        letters: Vec<Letter<'a>>,
    ) -> Result<(), (Vec<Letter<'a>>, KafkaError)> {
        let client = match self.client() {
            Ok(client) => client,
            Err(reason) => return Err((letters, reason)),
        };
        let sent = join_all(letters.iter().map(|letter| self.send_one(&client, letter))).await;
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

    /// The current client; a new one if the last one must be replaced.
    fn client(&self) -> Result<Arc<Client>, KafkaError> {
        let mut current = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = current.as_ref() {
            let Some(code) = client.ended() else { return Ok(client.clone()) };
            let brokers = &self.config.brokers;
            tracing::warn!(
                %brokers, %code,
                "replacing the Kafka producer of dead letters after an error"
            );
        }
        let created = Arc::new(Client::new(&self.config)?);
        if let Some(ended) = current.replace(created.clone()) {
            // Dropping a client may block.
            tokio::task::spawn_blocking(|| drop(ended));
        }
        Ok(created)
    }

    /// Writes the letter with its record, or without it if the topic does not accept the record.
    async fn send_one(&self, client: &Client, letter: &Letter<'_>) -> Result<(), KafkaError> {
        let topic = self.config.dead_letter_topic_of(&letter.batch.topic);
        let Message { key, value, .. } = letter.record;
        if !letter.is_too_long() {
            let headers = letter.headers(&self.config.group);
            match client.write(&topic, key.as_deref(), value.as_deref(), headers).await {
                Err(error) if is_too_large(&error) => {}
                written => return written,
            }
        }
        let headers = letter.headers_without_record(&self.config.group);
        let key = letter.short_key().map(|key| &key[..]);
        client.write(&topic, key, None, headers).await?;
        letter.warn_short(&topic);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;
    use crate::{Batch, FailureClass};

    fn batch() -> Batch {
        let record = Message {
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: Some("bad".into()),
            headers: Vec::new(),
        };
        Batch {
            topic: "sales".into(),
            log_id: "log".into(),
            partition: 0,
            group: "group".into(),
            expected_position: None,
            start: 0,
            end: 1,
            attempt: 1,
            records: vec![record],
        }
    }

    #[tokio::test]
    async fn a_client_that_cannot_continue_is_replaced() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("sales.dead-letter", 1, 1).unwrap();
        let letters =
            DeadLetters::new(Config { brokers: cluster.bootstrap_servers(), ..Config::default() });
        let batch = batch();
        let letter = || Letter {
            batch: &batch,
            record: &batch.records[0],
            class: FailureClass::Rejected,
            attempts: 1,
            reason: "bad",
        };
        letters.send(vec![letter()]).await.map_err(|(_, error)| error).unwrap();
        let first = letters.client().unwrap();

        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION;
        cluster.request_errors(RDKafkaApiKey::Produce, &[refused]);
        assert!(letters.send(vec![letter()]).await.is_err());
        assert!(Arc::ptr_eq(&first, &letters.client().unwrap()), "it can still write");

        // This error means that the broker has lost the state of this producer.
        let lost = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
        cluster.request_errors(RDKafkaApiKey::Produce, &[lost]);
        let (left, error) = letters.send(vec![letter(), letter()]).await.unwrap_err();
        assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::OutOfOrderSequenceNumber));
        letters.send(left).await.map_err(|(_, error)| error).unwrap();
        assert!(!Arc::ptr_eq(&first, &letters.client().unwrap()), "another client wrote them");
    }
}
