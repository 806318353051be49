//! Tests of the whole pipeline with real servers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod artifact;
mod chaos;
mod connections;
mod contract;
mod counting;
mod dashboard;
mod failover;
mod faults;
mod guests;
mod idempotency;
mod imports;
mod letters;
mod locust;
mod metrics;
mod mutants;
mod network;
mod older_interfaces;
mod outgoing_requests;
mod output;
mod own_servers;
mod page;
mod pipeline_state;
mod plugin;
mod requests;
mod resp2;
mod routes;
mod secured;
mod start;
mod stop;
mod telemetry;
mod top;
mod trigger;
mod valkey_client;
mod wasm_producer;
mod whole_requests;
