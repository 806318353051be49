//! Limits the rate of requests: a token bucket for each key.

mod buckets;
mod key;
mod limit;
mod shared;

pub use buckets::Buckets;
pub use key::Key;
pub use limit::{Grant, Limit, Settings};
pub use shared::{TAKE, WithoutStore, key_name, prefix, timeout_ms};
