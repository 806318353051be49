//! Tests of the script with a real Valkey.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod recount;
mod script;
mod store;
