//! Tests of the producer with real brokers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod cluster;
mod doubt;
mod faults;
mod kafka;
mod security;
mod support;
