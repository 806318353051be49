//! Asks the cluster what no fetch tells.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use crate::coverage::CoverageCheck;
use crate::engine::Engine;
use crate::group::Consumer;
use crate::native;
use crate::questions::ANSWER_TIMEOUT;

/// How often it looks: a partition's lag is never older by much.
const INTERVAL: Duration = Duration::from_secs(5);

/// Looks after the membership and after partitions that tell nothing of themselves, because
/// their queue is full or their turn has not come, until the engine stops.
pub(crate) async fn run(engine: Arc<Engine>, consumer: Arc<Consumer>) {
    let mut coverage = CoverageCheck::default();
    loop {
        let (looking, looked) = (engine.clone(), consumer.clone());
        let round = tokio::task::spawn_blocking(move || {
            look(&looking, &looked);
            coverage.run(&looking, &looked);
            coverage
        });
        // It fails only by a panic; the next round begins anew.
        coverage = round.await.unwrap_or_default();
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
