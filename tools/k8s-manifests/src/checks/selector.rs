//! Label selectors.

use serde_json::Value;

use super::workload::Labels;
use crate::object::{entries, list, text};

/// Whether a label selector (`matchLabels`, `matchExpressions`) matches these labels. A selector
/// without conditions matches everything.
pub fn takes(selector: &Value, labels: &Labels) -> bool {
    has(labels, entries(selector, "matchLabels"))
        && list(selector, "matchExpressions").iter().all(|expression| meets(expression, labels))
}

/// Whether the labels contain all of `wanted`.
pub fn has<'a>(labels: &Labels, mut wanted: impl Iterator<Item = (&'a String, &'a Value)>) -> bool {
    wanted.all(|(name, value)| labels.get(name).map(String::as_str) == value.as_str())
}

fn meets(expression: &Value, labels: &Labels) -> bool {
    let label = labels.get(text(expression, "key"));
    let among =
        || list(expression, "values").iter().any(|value| value.as_str() == label.map(|l| &**l));
    match text(expression, "operator") {
        "In" => label.is_some() && among(),
        "NotIn" => !among(),
        "Exists" => label.is_some(),
        "DoesNotExist" => label.is_none(),
        _ => false,
    }
}
