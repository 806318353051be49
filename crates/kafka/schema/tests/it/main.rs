//! Schemas of a real registry, and records of a real Kafka broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod records;
mod support;
