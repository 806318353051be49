//! Checks that alerts use metrics that exist, and that the documentation explains every alert.

use anyhow::Result;
use serde_json::Value;

use super::metrics::Metrics;
use crate::Project;
use crate::object::{Finding, Object, list, of_kind, text};

/// The page that explains the alerts.
const PAGE: &str = "docs/guide/operations.md";

/// The alerts that use unknown metrics or are not documented.
pub fn check(project: &Project, objects: &[Object]) -> Result<Vec<Finding>> {
    let (metrics, page) = (Metrics::read(project)?, project.read(PAGE)?);
    let mut found = Vec::new();
    for rule in of_kind(objects, "PrometheusRule") {
        for (place, alert) in alerts(rule) {
            let wrong = metrics.errors(text(alert, "expr"));
            found.extend(wrong.into_iter().map(|message| rule.finding(&place, message)));
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
