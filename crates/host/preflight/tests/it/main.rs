//! Tests of the checks with real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod store;
mod support;
mod topic;
