//! The progress of the partitions, and whether they stall.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[cfg(feature = "metrics")]
use prometheus_client::registry::Registry;

use crate::Config;
#[cfg(feature = "metrics")]
use crate::gauges::Gauges;
use crate::partition_status::{PartitionProgress, PartitionStatus};

pub(crate) type TopicPartition = (Arc<str>, i32);

/// The progress of the partitions that this member owns.
#[derive(Debug)]
pub struct Progress {
    partitions: Mutex<HashMap<TopicPartition, Arc<PartitionStatus>>>,
    member: AtomicBool,
    coverage: Mutex<Coverage>,
    stalled_after: Duration,
    lag_per_replica: u64,
}

/// Topics and partitions that the group does not read.
#[derive(Debug, Default)]
struct Coverage {
    missing: Vec<String>,
    unread: Vec<(String, i32)>,
    /// Whether the brokers do not answer.
    unknown: bool,
}

impl Progress {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            partitions: Mutex::default(),
            member: AtomicBool::new(false),
            coverage: Mutex::default(),
            stalled_after: config.stalled_after,
            lag_per_replica: config.lag_per_replica,
        }
    }

    /// Whether this process has joined the consumer group.
    pub fn is_member(&self) -> bool {
        self.member.load(Ordering::Relaxed)
    }

    /// Whether the brokers answer queries about the group's topics. The queries run every 15 s.
    pub fn is_answered(&self) -> bool {
        !self.coverage.lock().unwrap_or_else(PoisonError::into_inner).unknown
    }

    /// Topics that the settings name and that do not exist.
    pub fn missing_topics(&self) -> Vec<String> {
        self.coverage.lock().unwrap_or_else(PoisonError::into_inner).missing.clone()
    }

    /// Partitions of the group's topics, by topic and number, that no member of the group reads.
    pub fn unread_partitions(&self) -> Vec<(String, i32)> {
        self.coverage.lock().unwrap_or_else(PoisonError::into_inner).unread.clone()
    }

    /// Every partition that this member owns, by topic and number.
    pub fn partitions(&self) -> Vec<PartitionProgress> {
        let partitions = self.lock();
        let mut all: Vec<_> = partitions
            .iter()
            .map(|((topic, partition), status)| {
                status.progress(topic.clone(), *partition, self.stalled_after)
            })
            .collect();
        drop(partitions);
        all.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        all
    }

    /// Partitions with records left that have made no progress for too long.
    pub fn stalled(&self) -> Vec<PartitionProgress> {
        self.partitions().into_iter().filter(|partition| partition.stalled_for.is_some()).collect()
    }

    /// The number of replicas that this member's lag requires, by `Config::lag_per_replica`. Round up
    /// the sum over the members.
    pub fn desired_replicas(&self) -> f64 {
        let lag: u64 = self.partitions().iter().map(|partition| partition.lag).sum();
        lag as f64 / self.lag_per_replica as f64
    }

    /// Registers lag, age and the suggested number of replicas with the prefix `spin_kafka_`. The
    /// values are computed when they are read.
    #[cfg(feature = "metrics")]
    pub fn register(self: &Arc<Self>, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("spin_kafka");
        registry.register_collector(Box::new(Gauges(self.clone())));
    }

    /// Stores the result of a coverage check. `None` for `unread` means that it is not known; the
    /// previous value is kept.
    pub(crate) fn set_coverage(&self, missing: Vec<String>, unread: Option<Vec<(String, i32)>>) {
        let mut coverage = self.coverage.lock().unwrap_or_else(PoisonError::into_inner);
        (coverage.missing, coverage.unknown) = (missing, false);
        if let Some(unread) = unread {
            coverage.unread = unread;
        }
    }

    /// Notes that nothing can be determined about the group's topics.
    pub(crate) fn set_unanswered(&self) {
        self.coverage.lock().unwrap_or_else(PoisonError::into_inner).unknown = true;
    }

    pub(crate) fn set_member(&self, member: bool) {
        self.member.store(member, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, topic: &Arc<str>, partition: i32) -> Arc<PartitionStatus> {
        let status = Arc::new(PartitionStatus::default());
        self.lock().insert((topic.clone(), partition), status.clone());
        status
    }

    /// Removes a partition, unless it was assigned again in the meantime.
    pub(crate) fn remove(&self, topic: &Arc<str>, partition: i32, status: &Arc<PartitionStatus>) {
        let mut partitions = self.lock();
        let key = (topic.clone(), partition);
        if partitions.get(&key).is_some_and(|now| Arc::ptr_eq(now, status)) {
            partitions.remove(&key);
        }
    }

    /// Partitions whose end of the log was not updated since this time.
    pub(crate) fn not_updated_since(
        &self,
        since: Instant,
    ) -> Vec<(TopicPartition, Arc<PartitionStatus>)> {
        let partitions = self.lock();
        let outdated = partitions.iter().filter(|(_, status)| !status.is_updated_since(since));
        outdated.map(|(key, status)| (key.clone(), status.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, Arc<PartitionStatus>>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(stalled_after_ms: u64) -> Arc<Progress> {
        let stalled_after = Duration::from_millis(stalled_after_ms);
        let config = Config { stalled_after, lag_per_replica: 100, ..Config::default() };
        Arc::new(Progress::new(&config))
    }

    #[test]
    fn a_partition_stalls_only_while_records_are_left() {
        let progress = progress(1);
        let topic = Arc::from("sales");
        let status = progress.add(&topic, 0);
        let nap = || std::thread::sleep(Duration::from_millis(2));
        nap();
        assert_eq!(progress.stalled(), [], "no record is known");
        status.set_log_end(10, 10);
        nap();
        assert_eq!(progress.stalled()[0].lag, 10);
        status.advance(10);
        nap();
        assert_eq!(progress.stalled(), []);
        status.set_log_end(11, 11);
        status.set_log_end(12, 12);
        nap();
        assert_eq!(progress.stalled()[0].lag, 2);
        progress.remove(&topic, 0, &status);
        assert_eq!(progress.partitions(), []);
    }

    #[test]
    fn an_open_transaction_is_lag_but_not_a_stall() {
        let progress = progress(1);
        let status = progress.add(&Arc::from("sales"), 0);
        status.advance(10);
        status.set_log_end(10, 15);
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(progress.partitions()[0].lag, 5);
        assert_eq!(progress.stalled(), []);
        status.set_oldest_pending(None, Some(16));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(progress.stalled()[0].lag, 6, "a record was read and is not applied");
    }

    #[test]
    fn a_partition_that_restarts_repeatedly_stalls() {
        let progress = progress(20);
        let status = progress.add(&Arc::from("sales"), 0);
        status.set_log_end(10, 10);
        status.begin_at(5);
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(3));
            status.begin_at(5);
            status.begin_at(4);
            status.set_oldest_pending(None, None);
        }
        assert_eq!(progress.stalled()[0].lag, 6);
    }

    #[test]
    fn a_partition_that_is_assigned_again_is_not_removed_by_its_old_task() {
        let progress = progress(1);
        let topic = Arc::from("sales");
        let old = progress.add(&topic, 0);
        let _new = progress.add(&topic, 0);
        progress.remove(&topic, 0, &old);
        assert_eq!(progress.partitions().len(), 1);
    }

    #[cfg(feature = "metrics")]
    #[test]
    fn the_gauges_show_the_progress_of_the_partitions() {
        let progress = progress(60_000);
        let status = progress.add(&Arc::from("sales"), 3);
        status.set_log_end(250, 250);
        let mut registry = Registry::default();
        progress.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"spin_kafka_lag{topic="sales",partition="3"} 250"#,
            r#"spin_kafka_oldest_record_seconds{topic="sales",partition="3"} 0.0"#,
            "spin_kafka_stalled_partitions 0",
            "spin_kafka_assigned_partitions 1",
            "spin_kafka_desired_replicas 2.5",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
