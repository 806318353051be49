//! The text of a registry in the format of OpenMetrics.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;

/// The last line of the format.
const END: &str = "# EOF";

/// Encodes the registry. Each metric is described once, before all of its values, as the format
/// requires: a registry describes a metric once for each component.
pub fn encode(registry: &Registry) -> Result<String, fmt::Error> {
    let mut encoded = String::new();
    text::encode(&mut encoded, registry)?;
    Ok(merged(&encoded))
}

/// The lines about one metric.
#[derive(Default)]
struct Metric<'a> {
    description: Vec<&'a str>,
    values: Vec<&'a str>,
}

/// Joins what belongs to the same metric.
fn merged(encoded: &str) -> String {
    let mut metrics: BTreeMap<&str, Metric<'_>> = BTreeMap::new();
    let mut name = "";
    for line in encoded.lines().filter(|line| *line != END) {
        // `# HELP name text`, `# TYPE name type` or `# UNIT name unit`.
        if let Some(description) = line.strip_prefix("# ") {
            name = description.split(' ').nth(1).unwrap_or_default();
            let lines = &mut metrics.entry(name).or_default().description;
            if !lines.contains(&line) {
                lines.push(line);
            }
        } else {
            metrics.entry(name).or_default().values.push(line);
        }
    }
    let lines = metrics.values().flat_map(|metric| metric.description.iter().chain(&metric.values));
    let mut text = String::with_capacity(encoded.len());
    for line in lines.chain([&END]) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::registry::Unit;

    use super::*;

    #[test]
    fn a_metric_of_two_components_is_described_once() {
        let mut registry = Registry::default();
        for component in ["one", "two"] {
            let label = ("component".into(), component.into());
            let registry = registry.sub_registry_with_label(label);
            registry.register("records", "Records", Counter::<u64>::default());
            registry.register_with_unit("busy", "Time", Unit::Seconds, Counter::<u64>::default());
        }
        let expected = "\
            # HELP busy_seconds Time.\n\
            # TYPE busy_seconds counter\n\
            # UNIT busy_seconds seconds\n\
            busy_seconds_total{component=\"one\"} 0\n\
            busy_seconds_total{component=\"two\"} 0\n\
            # HELP records Records.\n\
            # TYPE records counter\n\
            records_total{component=\"one\"} 0\n\
            records_total{component=\"two\"} 0\n\
            # EOF\n";
        assert_eq!(encode(&registry).unwrap(), expected);
    }
}
