//! The trigger on a real RabbitMQ, with quorum queues.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod faults;
mod letters;
mod reading;
mod support;
