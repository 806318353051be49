//! What the topic and the store must be set to, and a warning for each setting that cannot
//! keep the promise.
//!
//! The promise: a sale that was acknowledged is counted once. It rests on Kafka keeping every
//! acknowledged sale until it is counted, and on Valkey keeping results and positions together.
//! [`check_topic`] and [`check_store`] ask both how they are set. They change nothing there,
//! and no wait is without a bound. `docs/guide/operations.md` is the same for people.

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
pub use topic::{check_topic, check_topic_exists};
pub use topic_settings::RETENTION_MIN;
pub use warning::Warning;
