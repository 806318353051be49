//! Tests of the manifests in `k8s/` and of their scripts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod manifests;
mod valkey;
