//! Checks that alerts use metrics that exist, and that the documentation explains every alert.

use anyhow::Result;
use regex::Regex;
use serde_json::Value;

use crate::Project;
use crate::object::{Finding, Object, list, of_kind, text};

/// The files that register the metrics of the trigger.
const SOURCES: [&str; 3] = [
    "crates/kafka/spin-kafka-trigger/src/metrics.rs",
    "crates/kafka/spin-kafka-trigger/src/progress.rs",
    "crates/host/kafka-trigger/src/handler.rs",
];

/// The prefix of the metrics of the trigger.
const PREFIX: &str = "spin_kafka_";

/// Metrics of other programs: Strimzi's reporter, the kubelet and kube-state-metrics.
const OTHERS: [&str; 6] = [
    "kafka_controller_kafkacontroller_offlinepartitionscount",
    "kafka_server_replicamanager_underminisrpartitioncount",
    "kafka_server_replicamanager_underreplicatedpartitions",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kube_pod_container_status_restarts_total",
];

/// The page that explains the alerts.
const PAGE: &str = "docs/guide/operations.md";

/// The alerts that use unknown metrics or are not documented.
pub fn check(project: &Project, objects: &[Object]) -> Result<Vec<Finding>> {
    let metric = Regex::new(r"\b([a-z]+(?:_[a-z]+)+)\s*\{")?;
    let sources: Result<Vec<String>> = SOURCES.iter().map(|file| project.read(file)).collect();
    let (sources, page) = (sources?.concat(), project.read(PAGE)?);
    let mut found = Vec::new();
    for rule in of_kind(objects, "PrometheusRule") {
        for (place, alert) in alerts(rule) {
            let metrics = metric.captures_iter(text(alert, "expr")).filter_map(|c| c.get(1));
            let metrics: Vec<&str> = metrics.map(|name| name.as_str()).collect();
            if metrics.is_empty() {
                found.push(rule.finding(&place, "the expression names no metric with labels"));
            }
            for name in metrics.into_iter().filter(|name| !exists(name, &sources)) {
                found.push(rule.finding(&place, format!("there is no metric {name}")));
            }
            let name = text(alert, "alert");
            if !page.contains(&format!("`{name}`")) {
                found.push(rule.finding(&place, format!("{PAGE} does not explain {name}")));
            }
        }
    }
    Ok(found)
}

/// All alerts, with their paths.
fn alerts(rule: &Object) -> impl Iterator<Item = (String, &Value)> {
    rule.list("spec.groups").iter().enumerate().flat_map(|(g, group)| {
        let rules = list(group, "rules").iter().enumerate();
        rules.map(move |(r, alert)| (format!("spec.groups.{g}.rules.{r}"), alert))
    })
}

/// Metrics of the trigger are registered by their names without prefix and unit.
fn exists(name: &str, sources: &str) -> bool {
    let Some(name) = name.strip_prefix(PREFIX) else { return OTHERS.contains(&name) };
    let known = |name: &str| sources.contains(&format!("\"{name}\""));
    known(name)
        || ["_total", "_seconds"].iter().any(|unit| name.strip_suffix(unit).is_some_and(known))
}
