//! The AMQP trigger of a Spin application: it passes the batches of the AMQP consumer
//! ([`spin_amqp_trigger`]) to components that the host ([`component_host`]) runs. The components
//! export the same interfaces as for the Kafka trigger, and are called by the same code.

mod config;
mod error;
mod trigger;

pub use config::TriggerConfig;
pub use error::Error;
pub use trigger::AmqpTrigger;
