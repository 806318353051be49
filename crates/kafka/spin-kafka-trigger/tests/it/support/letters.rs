//! The records of a dead-letter topic.

use super::WAIT_LIMIT;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

/// A record of the dead-letter topic.
pub struct Letter {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Letter {
    /// The value of the header of this name; the last one, if there are several.
    pub fn header(&self, name: &str) -> String {
        let (_, value) = self.headers.iter().rfind(|(header, _)| header == name).unwrap();
        String::from_utf8(value.clone().unwrap()).unwrap()
    }

    /// Whether there is a header of this name.
    pub fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(header, _)| header == name)
    }
}

impl From<BorrowedMessage<'_>> for Letter {
    fn from(record: BorrowedMessage<'_>) -> Self {
        let headers = record.headers().map(|headers| {
            headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect()
        });
        Self {
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        }
    }
}

/// All dead letters of a topic whose dead-letter topic has one partition.
pub fn letters(brokers: &str, topic: &str) -> Vec<Letter> {
    records(brokers, &format!("{topic}.dead-letter"))
}

/// All records of a topic with one partition.
pub fn records(brokers: &str, topic: &str) -> Vec<Letter> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "letters")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let mut all = TopicPartitionList::new();
    all.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&all).unwrap();
    let mut letters = Vec::new();
    while let Some(Ok(record)) = consumer.poll(WAIT_LIMIT) {
        letters.push(record.into());
    }
    letters
}
