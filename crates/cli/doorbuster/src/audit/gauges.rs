//! The metrics of the audit.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::comparison::{Comparison, Known};
use crate::recount::Positions;

/// The labels of a partition.
type Partition = [(&'static str, String); 2];

/// The metrics of the audit.
#[derive(Default, Clone)]
pub struct Gauges {
    difference: Family<Partition, Gauge>,
    position: Family<Partition, Gauge>,
    differences: Gauge,
    values: Counter,
    failures: Counter,
    last_pass: Gauge,
}

impl Gauges {
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("doorbuster_audit");
        let help = "Values that differ from the recount, by the partitions whose records were \
                    applied between the last comparison in which they were equal and the first in \
                    which they differed";
        registry.register("difference", help, self.difference.clone());
        let help = "Values that differ from the recount";
        registry.register("differences", help, self.differences.clone());
        let help = "Offset up to which the counts were compared last";
        registry.register("position", help, self.position.clone());
        registry.register("values", "Values that were compared", self.values.clone());
        registry.register("failures", "Comparisons that failed", self.failures.clone());
        let help = "Time at which all values had been compared, since 1970-01-01 UTC";
        registry.register_with_unit("last_pass", help, Unit::Seconds, self.last_pass.clone());
    }

    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Notes that these values were compared.
    pub fn compared(&self, comparison: &Comparison, positions: &Positions, values: usize) {
        self.values.inc_by(values as u64);
        for (topic, partition, offset) in positions.iter() {
            let labels = [("topic", topic.to_string()), ("partition", partition.to_string())];
            self.position.get_or_create(&labels).set(offset);
            let differences = comparison.known().filter(|known| is_in(known, topic, partition));
            self.difference.get_or_create(&labels).set(differences.count() as i64);
        }
        self.differences.set(comparison.known().count() as i64);
    }

    pub fn pass_ended(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_pass.set(now.as_secs() as i64);
    }
}

/// Whether records of the partition were applied since the values were equal. If no record of any
/// partition was, the cause is not known, and the difference belongs to all of them.
fn is_in(known: &Known, topic: &Arc<str>, partition: i32) -> bool {
    let moved = known.equal_at.gaps_to(&known.differs_at);
    moved.is_empty() || moved.iter().any(|gap| gap.topic == *topic && gap.partition == partition)
}
