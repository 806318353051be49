//! The types that all producers have in common: the record, the result, the error, the counters, and
//! the partitioner of those for Kafka.

mod error;
#[cfg(feature = "metrics")]
mod metrics;
mod partitioner;
mod record;

pub use error::ProduceError;
#[cfg(feature = "metrics")]
pub use metrics::Metrics;
pub use partitioner::partition;
pub use record::{Delivery, Header, OutgoingRecord, is_topic_name};
