//! The Kafka trigger of a Spin application: it passes the batches of the consumer engine
//! ([`spin_kafka_trigger`]) to components that the host ([`component_host`]) runs. It also contains
//! the native provider of `spin-kafka:events/producer`.
//!
//! The engine and the host do not depend on each other; this crate connects them.

mod config;
mod error;
mod events;
mod events_0_1;
mod handler;
mod interfaces;
mod letters;
mod observed;
mod openmetrics;
mod operator;
mod packed;
mod producer;
mod producers;
mod trace;
mod trigger;

pub use config::{CallSettings, HandlerSettings, TriggerConfig};
pub use error::Error;
pub use handler::GuestHandler;
pub use letters::LetterService;
pub use observed::{BatchTrigger, Health, Observed};
pub use operator::Operator;
pub use producer::{PRODUCERS, ProducerCapability};
pub use producers::FlushError;
pub use trace::{MessagingSystem, TARGET as TRACE_TARGET};
pub use trigger::KafkaTrigger;
