//! The metrics of the partitions' progress.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::{PartitionProgress, Progress};

/// Computes the values when they are read.
#[derive(Debug)]
pub(crate) struct Gauges(pub Arc<Progress>);

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let partitions = self.0.partitions();
        let labels = |partition: &PartitionProgress| {
            [("topic", partition.topic.to_string()), ("partition", partition.partition.to_string())]
        };
        let gauge = MetricType::Gauge;
        let mut lag = encoder.encode_descriptor("lag", "Offsets left to apply", None, gauge)?;
        for partition in &partitions {
            ConstGauge::new(partition.lag).encode(lag.encode_family(&labels(partition))?)?;
        }
        let help = "Age of the oldest record that was read and is not applied";
        let mut oldest = encoder.encode_descriptor("oldest_record_seconds", help, None, gauge)?;
        for partition in &partitions {
            let seconds = partition.oldest.unwrap_or_default().as_secs_f64();
            ConstGauge::new(seconds).encode(oldest.encode_family(&labels(partition))?)?;
        }
        let help = "Partitions with records left and no progress for too long";
        let stalled = partitions.iter().filter(|partition| partition.stalled_for.is_some()).count();
        let encode = encoder.encode_descriptor("stalled_partitions", help, None, gauge)?;
        ConstGauge::new(stalled as u64).encode(encode)?;
        let help = "Partitions that this member owns";
        let encode = encoder.encode_descriptor("assigned_partitions", help, None, gauge)?;
        ConstGauge::new(partitions.len() as u64).encode(encode)?;
        let help = "Replicas that this member's lag requires; round up the sum over the members";
        let encode = encoder.encode_descriptor("desired_replicas", help, None, gauge)?;
        ConstGauge::new(self.0.desired_replicas()).encode(encode)
    }
}
