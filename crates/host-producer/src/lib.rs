//! An idempotent Kafka producer with acks=all, one per process.
//!
//! A record with a key goes to the partition that Java's clients would choose, so every
//! producer puts a key in the same place. Nothing waits without a bound: a full queue refuses
//! at once, and every record has its acknowledgement or its error by the delivery timeout.

mod config;
mod error;
pub mod metrics;
mod producer;
mod reach;
mod record;
mod topic;
mod verdict;

pub use config::{Acks, Compression, ProducerConfig};
pub use error::Error;
pub use metrics::Metrics;
pub use produce::{Delivery, Header, OutgoingRecord, ProduceError};
pub use producer::Producer;
pub use topic::{NewTopic, RECORD_BYTES, TopicState, ensure_topic, record_bytes_max};
