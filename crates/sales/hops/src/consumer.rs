//! The consumer: the Kafka trigger and its component.

use metrics_text::Sample;
use serde::Serialize;

use crate::requests::add;

/// The Kafka triggers of all processes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Consumer {
    /// Records that were applied, including those that the component rejected.
    pub records: u64,
    /// Failed attempts that were followed by another one.
    pub retries: u64,
    /// Batches that made the component fail.
    pub breakdowns: u64,
    /// Records that the component rejected.
    pub rejected: u64,
    /// Records that made the component fail.
    pub poison: u64,
    /// Records that were written to a dead-letter topic.
    pub dead_letters: u64,
    /// Failed attempts to write dead letters.
    pub dead_letter_failures: u64,
    /// Records that were given up without a dead letter.
    pub skipped: u64,
    /// Offsets that are left to apply.
    pub lag: u64,
    /// The age in seconds of the oldest record that was read and is not applied.
    pub oldest_seconds: f64,
    /// Partitions with records left and no progress for too long.
    pub stalled_partitions: u64,
    /// Partitions that are read.
    pub partitions: u64,
    /// Instances of the component.
    pub instances: u64,
}

impl Consumer {
    /// Adds a metric whose name continues like this after `spin_kafka_`.
    pub(crate) fn add(&mut self, name: &str, sample: &Sample<'_>) {
        let total = match name {
            "records_total" => &mut self.records,
            "retries_total" => &mut self.retries,
            "breakdowns_total" => &mut self.breakdowns,
            "rejections_total" => &mut self.rejected,
            "poison_records_total" => &mut self.poison,
            "dead_letters_total" => &mut self.dead_letters,
            "dead_letter_failures_total" => &mut self.dead_letter_failures,
            "skipped_records_total" => &mut self.skipped,
            "lag" => &mut self.lag,
            "stalled_partitions" => &mut self.stalled_partitions,
            "assigned_partitions" => &mut self.partitions,
            "instances" => &mut self.instances,
            "oldest_record_seconds" => {
                // `max` ignores a value that is not a number. Infinity is not valid in JSON.
                self.oldest_seconds = self.oldest_seconds.max(sample.value).min(f64::MAX);
                return;
            }
            _ => return,
        };
        add(total, sample);
    }
}
