//! The Redis trigger of a Spin application: it subscribes to channels of Redis or Valkey and passes their
//! messages to components that the host ([`component_host`]) runs.
//!
//! A component exports `fermyon:spin/inbound-redis` (spin-sdk up to 5) or
//! `spin:redis/inbound-redis@3.0.0` (spin-sdk 6 and newer). As in Spin, each message gets an instance of
//! its own, and the messages of a server are handled one after the other.
//!
//! Redis keeps no messages, so they are delivered at most once: what is published while the trigger is
//! not connected, or while [`limits`] are exceeded, is lost.

mod config;
mod error;
mod handler;
pub mod limits;
mod metrics;
mod queue;
mod recipient;
mod report;
mod server;
mod trigger;

pub use config::ServerConfig;
pub use error::Error;
pub use handler::{Failure, FailureClass, MessageHandler};
pub use trigger::RedisTrigger;
