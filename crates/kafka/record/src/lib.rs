//! The types that the host's producer (on librdkafka) and the producer in WebAssembly have in
//! common: the record, the result, the error, and the partitioner.

mod error;
mod partitioner;
mod record;

pub use error::ProduceError;
pub use partitioner::partition;
pub use record::{Delivery, Header, OutgoingRecord, is_topic_name};
