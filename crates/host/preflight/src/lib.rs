//! Checks the settings of the topic and of Valkey, and warns about each one that can break the
//! guarantee.
//!
//! The guarantee: a sale that was acknowledged is counted exactly once. It requires that Kafka
//! keeps every acknowledged sale until it is counted, and that Valkey keeps counts and positions
//! together. [`check_topic`] and [`check_store`] read the settings of both. They change nothing,
//! and all waits are limited. `docs/guide/operations.md` explains the settings.

mod contact;
mod error;
mod span;
mod store;
mod store_settings;
mod topic;
mod topic_settings;
mod warning;

pub use error::Error;
pub use store::check_store;
pub use topic::{Cluster, check_topic, check_topic_exists};
pub use topic_settings::RETENTION_MIN;
pub use warning::Warning;
