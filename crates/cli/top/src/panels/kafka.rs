//! The partitions, the Kafka triggers and the producer.

use std::collections::BTreeMap;

use super::{total, total_rate, windows};
use crate::metrics::{KafkaMetrics, Metrics, Partition, PartitionKey};
use crate::state::{Process, State};
use crate::table::{Column, Panel, Width};
use crate::text::{count, duration, rate};
use crate::window::Window;

const PARTITION_COLUMNS: [Column; 4] = [
    Column::left("TOPIC/PARTITION", Width::Rest),
    Column::left("COMPONENT", Width::Fixed(16)),
    Column::right("LAG", 12),
    Column::right("OLDEST", 8),
];

/// The partitions, and the sums of the Kafka triggers and of the producer.
pub fn kafka(state: &State) -> Panel {
    let processes = &state.processes;
    let partitions = partitions(processes);
    let row = |(key, partition): (&PartitionKey, &Partition)| {
        vec![
            format!("{}/{}", key.topic, key.partition).into(),
            key.component.as_str().into(),
            count(partition.lag).into(),
            duration(partition.oldest_seconds).into(),
        ]
    };
    let rows = partitions.iter().map(row).collect();
    let is_known = windows(processes).any(|window| window.latest().is_some());
    let sums = is_known.then(|| kafka_sums(processes, &partitions));
    Panel::new("Kafka", sums, &PARTITION_COLUMNS, rows, "no partitions")
}

fn kafka_sums(processes: &[Process], partitions: &BTreeMap<PartitionKey, Partition>) -> String {
    let of = |read: fn(&KafkaMetrics) -> f64| move |metrics: &Metrics| read(&metrics.kafka);
    let per_second = |read: fn(&KafkaMetrics) -> f64| rate(total_rate(processes, of(read)));
    let now = |read: fn(&KafkaMetrics) -> f64| count(total(processes, of(read)));
    let mut sums = format!(
        "lag {}, dead letters {}, retries {}",
        count(partitions.values().map(|partition| partition.lag).sum()),
        now(|kafka| kafka.dead_letters),
        now(|kafka| kafka.retries),
    );
    // These are seldom different from zero, and the line is long.
    for (name, value) in
        [("rejected", now(|kafka| kafka.rejections)), ("not written", now(|kafka| kafka.unwritten))]
    {
        if value != "0" {
            sums += &format!(", {name} {value}");
        }
    }
    let (written, applied) = (per_second(|kafka| kafka.written), per_second(|kafka| kafka.records));
    let instances = now(|kafka| kafka.instances);
    sums + &format!(", written {written}/s, applied {applied}/s, instances {instances}")
}

/// The partitions of all processes. While a partition changes its owner, two processes may name it;
/// the higher values are shown then.
fn partitions(processes: &[Process]) -> BTreeMap<PartitionKey, Partition> {
    let mut all: BTreeMap<PartitionKey, Partition> = BTreeMap::new();
    let known = windows(processes).filter_map(Window::latest);
    for (key, partition) in known.flat_map(|metrics| &metrics.partitions) {
        let shown = all.entry(key.clone()).or_default();
        shown.lag = shown.lag.max(partition.lag);
        shown.oldest_seconds = shown.oldest_seconds.max(partition.oldest_seconds);
    }
    all
}
