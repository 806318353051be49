//! Validates and decodes the values of records by the schemas of a schema registry with
//! Confluent's API.
//!
//! [`SchemaHandler`] is a handler of the consumer engine ([`spin_kafka_trigger`]) that encloses
//! another handler. It reads the schema's id from each value, gets the schema from the registry or
//! from its cache, and passes on the records that fit. It rejects the others, so that the engine
//! gives them up with the reason. While a schema cannot be fetched it requests a retry.

mod avro;
mod cache;
mod config;
mod decoder;
#[doc(hidden)]
pub mod decoders;
mod error;
mod frame;
mod handler;
mod json_schema;
mod metrics;
mod protobuf;
mod reader;
mod references;
mod registry;
mod schema;
#[cfg(test)]
mod test_registry;

pub use config::{Mode, SchemaConfig};
pub use error::Error;
pub use handler::SchemaHandler;
pub use metrics::Metrics;
