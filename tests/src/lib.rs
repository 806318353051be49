//! What the end-to-end tests share: a running pipeline, requests to it, a look at its store.

pub mod chaos;
mod fragile;
mod http;
mod pipeline;
mod plugin;
mod retained;
mod store;
mod without_servers;

pub use fragile::{Fragile, OTHER_BUILD};
pub use http::{Answer, Client};
pub use pipeline::{Launch, Pipeline, Wiring, doorbuster, program, root};
pub use plugin::{Locked, plugin};
pub use retained::{Deployment, Retained};
pub use store::Store;
pub use without_servers::without_servers;

use std::time::{Duration, Instant};

/// How long a condition may take to come true, on a machine that does other things too.
const LIMIT: Duration = Duration::from_secs(120);

/// Waits until `probe` answers something; fails with `what` if it never does.
pub async fn eventually<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> T {
    in_time(what, probe).await.unwrap_or_else(|late| panic!("{late}"))
}

/// The same where a test has more to say about the failure.
pub async fn in_time<T>(what: &str, probe: impl AsyncFn() -> Option<T>) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return Ok(value);
        }
        anyhow::ensure!(start.elapsed() < LIMIT, "{what}: not within {LIMIT:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
