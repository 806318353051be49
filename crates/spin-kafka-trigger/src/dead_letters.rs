//! Writes records that were given up to their dead-letter topic.

use std::sync::{Mutex, PoisonError};

use futures::future::join_all;
use rdkafka::config::FromClientConfigAndContext as _;
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, Producer as _};

use crate::client_log::Plain;
use crate::letter::Letter;
use crate::refusal::is_too_large;
use crate::{Config, Message, client_config, record};

/// A letter with a longer record is written without it at once: more would not fit into one of
/// the broker's requests (`socket.request.max.bytes`, 100 MiB by default).
const RECORD_BYTES_MAX: usize = 90_000_000;

/// The producer of dead letters. Its client is created with the first letter, and again after
/// one has failed for good.
pub(crate) struct DeadLetters {
    config: Config,
    producer: Mutex<Option<FutureProducer<Plain>>>,
}

impl DeadLetters {
    pub fn new(config: Config) -> Self {
        Self { config, producer: Mutex::new(None) }
    }

    /// Answers once the broker has every letter; else those that it does not have, and why.
    pub async fn send<'a>(
        &self,
        letters: Vec<Letter<'a>>,
    ) -> Result<(), (Vec<Letter<'a>>, KafkaError)> {
        let producer = match self.producer() {
            Ok(producer) => producer,
            Err(reason) => return Err((letters, reason)),
        };
        let sent = join_all(letters.iter().map(|letter| self.send_one(&producer, letter))).await;
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

    fn producer(&self) -> Result<FutureProducer<Plain>, KafkaError> {
        let mut current = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(producer) = current.as_ref() {
            let Some((code, reason)) = producer.client().fatal_error() else {
                return Ok(producer.clone());
            };
            let brokers = &self.config.brokers;
            tracing::warn!(
                %brokers, %code, reason,
                "the Kafka producer of dead letters cannot go on; using a new one"
            );
        }
        let native = client_config::producer(&self.config);
        let created = FutureProducer::from_config_and_context(&native, Plain::new(&self.config))?;
        if let Some(ended) = current.replace(created.clone()) {
            // Its end may block.
            tokio::task::spawn_blocking(|| drop(ended));
        }
        Ok(created)
    }

    /// Writes the letter whole if the topic takes it, else without its record.
    async fn send_one(
        &self,
        producer: &FutureProducer<Plain>,
        letter: &Letter<'_>,
    ) -> Result<(), KafkaError> {
        let topic = self.config.dead_letter_topic(&letter.batch.topic);
        let Message { key, value, .. } = letter.record;
        if letter.record.content_bytes() <= RECORD_BYTES_MAX {
            let headers = letter.headers(&self.config.group);
            let whole =
                record::write(producer, &topic, key.as_deref(), value.as_deref(), headers).await;
            match whole {
                Err(error) if is_too_large(&error) => {}
                written => return written,
            }
        }
        let headers = letter.headers_alone(&self.config.group);
        record::write(producer, &topic, letter.short_key(), None, headers).await?;
        tracing::warn!(
            topic = %letter.batch.topic,
            partition = letter.batch.partition,
            offset = letter.record.offset,
            bytes = letter.record.content_bytes(),
            dead_letter_topic = %topic,
            "the dead-letter topic does not take the whole record: the letter has its place, \
             size and reason only. Raise the topic's max.message.bytes to keep the next one"
        );
        Ok(())
    }
}
