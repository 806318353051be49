//! An AMQP 0-9-1 consumer, for RabbitMQ. It passes batches of a queue's messages to the same
//! [`Handler`](spin_kafka_trigger::Handler) as the Kafka consumer engine, with the same rules for
//! retries, for batches that make the handler fail, and for dead letters.
//!
//! A message is acknowledged after the handler has applied it, or after its dead letter was
//! confirmed by the broker. So each message is handed over at least once. A queue is not a log: it
//! has no positions from which it can be read again. A handler that counts must therefore recognise
//! a message by its id (`message-id`), which it gets as the header `idempotency-key`.
#![warn(missing_debug_implementations)]

mod config;
mod dead_letter_queue;
mod error;
mod held;
mod letters;
mod message;
mod queue;
mod session;
mod trigger;

pub use config::Config;
pub use dead_letter_queue::DeadLetterQueue;
pub use error::Error;
pub use letters::headers;
pub use trigger::Trigger;
