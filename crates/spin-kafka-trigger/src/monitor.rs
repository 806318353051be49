//! Asks the cluster what no fetch tells.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use crate::coverage::CoverageCheck;
use crate::engine::Engine;
use crate::group::Consumer;
use crate::native;

/// How often it looks: a partition's lag is never older by much.
const INTERVAL: Duration = Duration::from_secs(5);
/// How long the cluster may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks after the membership and after partitions that tell nothing of themselves, because
/// their queue is full or their turn has not come, until the engine stops.
pub(crate) async fn run(engine: Arc<Engine>, consumer: Arc<Consumer>) {
    let coverage = Arc::new(Mutex::new(CoverageCheck::new()));
    loop {
        let (looking, looked, coverage) = (engine.clone(), consumer.clone(), coverage.clone());
        // It fails only by a panic; the next round is another one's.
        let _ = tokio::task::spawn_blocking(move || {
            look(&looking, &looked);
            let mut coverage = coverage.lock().unwrap_or_else(PoisonError::into_inner);
            coverage.run(&looking, &looked);
        })
        .await;
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

fn look(engine: &Engine, consumer: &Consumer) {
    engine.progress.set_member(native::is_member(consumer.client()));
    let Some(since) = Instant::now().checked_sub(INTERVAL) else { return };
    for ((topic, partition), standing) in engine.progress.unheard_since(since) {
        if engine.stop.is_cancelled() {
            return;
        }
        match consumer.fetch_watermarks(&topic, partition, ANSWER_TIMEOUT) {
            Ok((_, readable)) => {
                let fetched = native::watermarks(consumer.client(), &topic, partition);
                standing.heard(readable, fetched.map_or(readable, |(_, end)| end));
            }
            Err(error) => tracing::debug!(%topic, partition, %error, "the log's end is not known"),
        }
    }
}
