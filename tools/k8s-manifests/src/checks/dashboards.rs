//! Checks the dashboards of Grafana: every panel has a title, a unit and queries; the data sources
//! exist, and queries of Prometheus use metrics that exist.

use std::collections::BTreeSet;

use anyhow::Result;
use regex::Regex;
use serde_json::Value;

use super::metrics::Metrics;
use crate::object::{Finding, Object, entries, list, of_kind, text, walk};
use crate::{Project, yaml};

const PROMETHEUS: &str = "prometheus";

/// The errors in the dashboards of all ConfigMaps.
pub fn check(project: &Project, objects: &[Object]) -> Result<Vec<Finding>> {
    let metrics = Metrics::read(project)?;
    let label = Regex::new(r"\{\{\s*(\w+)\s*\}\}")?;
    let known = Known { sources: sources(objects)?, metrics, label };
    let mut found = Vec::new();
    for map in of_kind(objects, "ConfigMap") {
        for (file, content) in entries(&map.0, "data").filter(|(file, _)| file.ends_with(".json")) {
            // The check of Valkey reports a text that is not JSON.
            let content = content.as_str().unwrap_or_default();
            let Ok(dashboard) = serde_json::from_str::<Value>(content) else { continue };
            let place = format!("data.{file}");
            let missing = known.missing_sources(&dashboard).into_iter();
            found.extend(missing.map(|error| map.finding(&place, error)));
            for panel in panels(&dashboard) {
                let errors = known.errors(panel).into_iter();
                let title = text(panel, "title");
                found.extend(errors.map(|e| map.finding(&place, format!("panel `{title}`: {e}"))));
            }
        }
    }
    Ok(found)
}

/// The data sources that ConfigMaps provision: type and uid.
fn sources(objects: &[Object]) -> Result<BTreeSet<(String, String)>> {
    let mut sources = BTreeSet::new();
    for map in of_kind(objects, "ConfigMap") {
        for (_, content) in entries(&map.0, "data").filter(|(file, _)| file.ends_with(".yaml")) {
            for document in yaml::documents(content.as_str().unwrap_or_default())? {
                let provisioned = list(&document, "datasources").iter();
                sources.extend(provisioned.map(source));
            }
        }
    }
    Ok(sources)
}

fn source(value: &Value) -> (String, String) {
    (text(value, "type").to_owned(), text(value, "uid").to_owned())
}

/// The panels of a dashboard, including those of collapsed rows, without the rows.
fn panels(dashboard: &Value) -> Vec<&Value> {
    let top = list(dashboard, "panels");
    let all = top.iter().chain(top.iter().flat_map(|row| list(row, "panels")));
    all.filter(|panel| text(panel, "type") != "row").collect()
}

struct Known {
    sources: BTreeSet<(String, String)>,
    metrics: Metrics,
    /// A label in the text of a legend.
    label: Regex,
}

impl Known {
    /// The data sources that a dashboard names and that are not provisioned.
    fn missing_sources(&self, dashboard: &Value) -> Vec<String> {
        let mut missing = BTreeSet::new();
        walk(dashboard, "", &mut |path, value| {
            if path.rsplit('.').next() == Some("datasource") {
                missing.insert(source(value));
            }
        });
        let missing = missing.difference(&self.sources);
        missing
            .map(|(kind, uid)| format!("there is no data source `{uid}` of type {kind}"))
            .collect()
    }

    fn errors(&self, panel: &Value) -> Vec<String> {
        let mut errors = Vec::new();
        for (field, what) in [("title", "title"), ("fieldConfig.defaults.unit", "unit")] {
            if text(panel, field).is_empty() {
                errors.push(format!("has no {what}"));
            }
        }
        let targets = list(panel, "targets");
        if targets.is_empty() {
            errors.push("has no query".into());
        }
        for target in targets {
            if target.get("datasource").is_none() {
                errors.push("a query has no data source".into());
            }
            if text(target, "datasource.type") == PROMETHEUS {
                errors.extend(self.query(target));
            }
        }
        errors
    }

    fn query(&self, target: &Value) -> Vec<String> {
        let (expression, legend) = (text(target, "expr"), text(target, "legendFormat"));
        let mut errors = self.metrics.errors(expression);
        if legend.is_empty() {
            errors.push(format!("`{expression}` has no legend"));
        }
        let grouped = self.metrics.grouped(expression);
        let named = self.label.captures_iter(legend);
        let named = named.filter_map(|found| found.get(1).map(|label| label.as_str()));
        let missing = named.filter(|label| !grouped.contains(label));
        errors.extend(missing.map(|label| format!("`{expression}` does not group by {label}")));
        errors
    }
}
