//! Publishes records to RabbitMQ, with publisher confirms.
//!
//! The topic of a record is a queue, or the routing key of a message for an exchange. A record is
//! acknowledged after a queue has confirmed its message; a message that no queue takes is an error.
//! All waits are limited: if too many records wait, a call fails at once, and each record is
//! acknowledged or fails within the delivery timeout.
//!
//! AMQP has no idempotent producer: if a confirm is lost with the connection, it is unknown whether
//! the record was written, and it is not published again. A consumer recognises a repetition by the
//! message id.
#![warn(missing_debug_implementations)]

mod channels;
mod config;
mod connector;
mod message;
mod outcome;
mod producer;

pub use config::{Config, ConfigError};
pub use kafka_record::{Delivery, Header, Metrics, OutgoingRecord, ProduceError};
pub use producer::{FlushError, Producer};
