//! What both producers have in common, the host's on librdkafka and the one in WebAssembly:
//! the record they take, what they answer, and the partition that a key belongs to.

mod error;
mod partitioner;
mod record;

pub use error::ProduceError;
pub use partitioner::partition;
pub use record::{Delivery, Header, OutgoingRecord, is_topic_name};
