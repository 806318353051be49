//! Tests of the servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod clock;
mod cluster;
mod dialogue;
mod disk;
mod limit;
mod proxied;
mod servers;
mod support;
