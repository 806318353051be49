//! Queries the cluster for what fetch responses do not contain.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;

use crate::consumer::Consumer;
use crate::coverage::CoverageCheck;
use crate::engine::Engine;
use crate::native;
use crate::progress::TopicPartition;
use crate::query::ANSWER_TIMEOUT;

/// How often the queries run. The lag of a partition is not much older than this.
const INTERVAL: Duration = Duration::from_secs(5);

/// No query about a partition begins later than this in a run, because membership and coverage
/// are checked in every run. The next run begins with the partitions that were left out.
const RUN_LIMIT: Duration = Duration::from_secs(10);

/// Monitors the membership, and the partitions that receive no fetch responses because their queue
/// is full or because they wait for a turn, until the engine stops.
pub(crate) async fn run(engine: Arc<Engine>, consumer: Arc<Consumer>) {
    let (mut coverage, mut left_out) = (CoverageCheck::default(), None);
    loop {
        let (run_engine, run_consumer) = (engine.clone(), consumer.clone());
        let run = tokio::task::spawn_blocking(move || {
            let left_out = update(&run_engine, &run_consumer, left_out);
            coverage.run(&run_engine, &run_consumer);
            (coverage, left_out)
        });
        // The task fails only if it panics. The next run then begins with the initial state.
        (coverage, left_out) = run.await.unwrap_or_default();
        tokio::select! {
            () = engine.stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
    }
}

/// Updates the end of the logs. Returns the partition with which the next run begins if the time
/// was not sufficient for all.
fn update(
    engine: &Engine,
    consumer: &Consumer,
    from: Option<TopicPartition>,
) -> Option<TopicPartition> {
    engine.progress.set_member(native::is_member(consumer.client()));
    let begun = Instant::now();
    let mut outdated = engine.progress.not_updated_since(begun.checked_sub(INTERVAL)?);
    begin_with(&mut outdated, from.as_ref());
    for ((topic, partition), status) in outdated {
        if engine.stop.is_cancelled() {
            return None;
        }
        if begun.elapsed() >= RUN_LIMIT {
            return Some((topic, partition));
        }
        match consumer.fetch_watermarks(&topic, partition, ANSWER_TIMEOUT) {
            Ok((_, readable)) => {
                let fetched = native::watermarks(consumer.client(), &topic, partition);
                status.set_log_end(readable, fetched.map_or(readable, |(_, end)| end));
            }
            Err(error) => {
                tracing::debug!(%topic, partition, %error, "the end of the log is not known")
            }
        }
    }
    None
}

/// Sorts the partitions, then rotates them so that the first one at or after `from` comes first.
fn begin_with<T>(partitions: &mut [(TopicPartition, T)], from: Option<&TopicPartition>) {
    partitions.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    if let Some(from) = from {
        let before = partitions.partition_point(|(partition, _)| partition < from);
        partitions.rotate_left(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_begins_with_the_partitions_that_were_left_out() {
        let partition = |number| (Arc::from("sales"), number);
        let order = |from: Option<i32>| {
            let mut partitions: Vec<_> = [2, 0, 3, 1].map(|number| (partition(number), ())).into();
            begin_with(&mut partitions, from.map(partition).as_ref());
            partitions.into_iter().map(|((_, number), ())| number).collect::<Vec<_>>()
        };
        assert_eq!(order(None), [0, 1, 2, 3]);
        assert_eq!(order(Some(2)), [2, 3, 0, 1]);
        assert_eq!(order(Some(9)), [0, 1, 2, 3], "it was revoked in the meantime");
    }
}
