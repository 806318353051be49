//! The producer on real and on unreachable brokers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod kafka;
mod support;
mod unreachable;
