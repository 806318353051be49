//! An idempotent Kafka producer with acks=all, one per process.
//!
//! A record with a key goes to the partition that the Java clients would choose, so that all
//! producers write a key to the same partition. All waits are limited: if the queue is full, a call
//! fails at once, and each record is acknowledged or fails within the delivery timeout.

mod classify;
mod config;
mod error;
mod producer;
mod reachability;
mod record;
mod topic;

pub use config::{Acks, Compression, ProducerConfig};
pub use error::Error;
pub use kafka_record::{Delivery, Header, Metrics, OutgoingRecord, ProduceError};
pub use producer::Producer;
pub use topic::{NewTopic, RECORD_BYTES, TopicAdmin, TopicState, ensure_topic};
