//! Shared parts of the end-to-end tests: a running pipeline, requests to it, and access to its
//! Valkey.

mod browser;
pub mod chaos;
mod collector;
mod events;
mod failing_app;
mod http;
mod metrics_source;
mod pipeline;
mod plugin;
mod retained;
mod store;
mod templates;
mod without_servers;

pub use browser::{Browser, View};
pub use collector::{Collector, ReceivedMetrics, texts};
pub use events::{Event, Events};
pub use failing_app::{FailingApp, OTHER_BUILD};
pub use http::{Answer, Client};
pub use metrics_source::{MetricsAnswer, MetricsSource};
pub use pipeline::{Launch, Pipeline, Wiring, doorbuster, program, root};
pub use plugin::{Locked, plugin};
pub use retained::{Deployment, Retained};
pub use store::Store;
pub use templates::Templates;
pub use without_servers::without_servers;

use std::time::{Duration, Instant};

use anyhow::Context as _;
use test_servers::{WAIT_LIMIT, shared_kafka_runs};

/// Waits until `probe` returns a value. Panics with `what` after [`WAIT_LIMIT`].
pub async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    in_time(what, probe).await.unwrap_or_else(|late| panic!("{late}"))
}

/// The same, but returns the error, for tests that add details. Fails at once if the shared broker
/// has ended.
pub async fn in_time<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> anyhow::Result<T> {
    in_time_mut(what, &mut (), async |()| probe().await).await
}

/// The same with something that the probe changes.
pub(crate) async fn in_time_mut<S, T>(
    what: &str,
    subject: &mut S,
    probe: impl AsyncFn(&mut S) -> Option<T>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe(subject).await {
            return Ok(value);
        }
        shared_kafka_runs().with_context(|| what.to_owned())?;
        anyhow::ensure!(start.elapsed() < WAIT_LIMIT, "{what}: not within {WAIT_LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
