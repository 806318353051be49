//! The metrics that exist, for expressions of alerts and dashboards.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use regex::Regex;

use crate::Project;

/// The pages that list our metrics; tests compare them with running programs.
const PAGES: [&str; 2] = ["docs/reference/metrics.md", "docs/guide/audit.md"];

/// Metrics of other programs: Strimzi's reporter, the kubelet and kube-state-metrics.
const OTHERS: [&str; 6] = [
    "kafka_controller_kafkacontroller_offlinepartitionscount",
    "kafka_server_replicamanager_underminisrpartitioncount",
    "kafka_server_replicamanager_underreplicatedpartitions",
    "kubelet_volume_stats_available_bytes",
    "kubelet_volume_stats_capacity_bytes",
    "kube_pod_container_status_restarts_total",
];

/// Labels that Prometheus adds to the metrics of a pod.
const TARGET_LABELS: [&str; 2] = ["namespace", "pod"];

/// The labels of each metric, and the syntax of expressions.
pub struct Metrics {
    labels: BTreeMap<String, BTreeSet<String>>,
    /// A word that is the name of a metric, and the labels that it is selected by.
    selector: Regex,
    label: Regex,
    grouping: Regex,
}

impl Metrics {
    /// Reads the lists.
    pub fn read(project: &Project) -> Result<Self> {
        let mut labels = BTreeMap::new();
        for page in PAGES {
            let text = project.read(page)?;
            let rows = text.lines().filter(|line| line.starts_with("| `"));
            let listed: Vec<_> = rows.flat_map(series).collect();
            ensure!(!listed.is_empty(), "{page} lists no metrics");
            labels.extend(listed);
        }
        Ok(Self {
            labels,
            selector: Regex::new(
                r"\b((?:spin|kafka|process|doorbuster|kubelet|kube)_\w+)\b\s*(?:\{([^}]*)\})?",
            )?,
            label: Regex::new(r"(\w+)\s*(?:=~|!~|!=|=)")?,
            grouping: Regex::new(r"\b(?:by|without)\s*\(([^)]*)\)")?,
        })
    }

    /// What is wrong with an expression: metrics that do not exist or are not restricted to a
    /// namespace, and labels that they do not have.
    pub fn errors(&self, expression: &str) -> Vec<String> {
        let mut errors = Vec::new();
        let mut labels: Option<BTreeSet<&str>> = Some(TARGET_LABELS.into());
        let mut is_empty = true;
        for found in self.selector.captures_iter(expression) {
            let part = |index| found.get(index).map_or("", |part| part.as_str());
            let (name, matchers) = (part(1), part(2));
            is_empty = false;
            let used: Vec<&str> = self.label.captures_iter(matchers).filter_map(first).collect();
            if !used.contains(&"namespace") {
                errors.push(format!("{name} needs a matcher of the namespace"));
            }
            match self.labels.get(name) {
                Some(own) => {
                    let wrong = used.iter().filter(|label| !has(own, label));
                    errors.extend(wrong.map(|label| format!("{name} has no label {label}")));
                    labels.iter_mut().for_each(|all| all.extend(own.iter().map(String::as_str)));
                }
                // The labels of other programs are not known.
                None if OTHERS.contains(&name) => labels = None,
                None => errors.push(format!("there is no metric {name}")),
            }
        }
        if is_empty {
            errors.push("the expression names no metric".into());
        }
        if let Some(labels) = labels {
            let grouped = self.grouped(expression);
            let wrong = grouped.into_iter().filter(|label| !labels.contains(label));
            errors.extend(wrong.map(|label| format!("no metric has the label {label}")));
        }
        errors
    }

    /// The labels by which an expression groups.
    pub fn grouped<'a>(&self, expression: &'a str) -> Vec<&'a str> {
        let lists = self.grouping.captures_iter(expression).filter_map(first);
        lists.flat_map(|list| list.split(',').map(str::trim)).collect()
    }
}

fn first<'a>(found: regex::Captures<'a>) -> Option<&'a str> {
    found.get(1).map(|part| part.as_str())
}

fn has(own: &BTreeSet<String>, label: &str) -> bool {
    own.contains(label) || TARGET_LABELS.contains(&label)
}

/// The time series of a metric in a row of a page, with their labels.
fn series(row: &str) -> Vec<(String, BTreeSet<String>)> {
    let cells: Vec<&str> = row.split('|').map(str::trim).collect();
    let [_, name, kind, _, labels, ..] = cells.as_slice() else { return Vec::new() };
    let name = name.trim_matches('`');
    let labels = labels.split(',').map(|label| label.trim().trim_matches('`').to_owned());
    let labels: BTreeSet<String> = labels.filter(|label| !label.is_empty()).collect();
    if *kind != "histogram" {
        return vec![(name.to_owned(), labels)];
    }
    let mut buckets = labels.clone();
    buckets.insert("le".into());
    vec![
        (format!("{name}_bucket"), buckets),
        (format!("{name}_sum"), labels.clone()),
        (format!("{name}_count"), labels),
    ]
}
