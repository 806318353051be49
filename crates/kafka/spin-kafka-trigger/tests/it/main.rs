//! The engine on a real Kafka broker, and on the mock cluster of librdkafka.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, reason = "tests print what they measured")]

mod chaos;
mod cut;
mod example;
mod failures;
mod kafka;
mod letters;
mod memory;
mod mock;
mod names;
mod quiet;
mod ranges;
mod reading;
mod recreated;
mod sending_back;
mod support;
mod transactions;
