//! Checks the autoscalers.

use std::collections::BTreeMap;

use crate::checks::sources::variable;
use crate::object::{Finding, Object, find, list, of_kind, text};

/// The violations of these rules.
pub fn check(objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut scaled: BTreeMap<&str, &Object> = BTreeMap::new();
    for scaler in objects.iter().filter(|object| is_scaler(object)) {
        let target = scaler.text("spec.scaleTargetRef.name");
        found.extend(whom(scaler, target, objects));
        if let Some(other) = scaled.insert(target, scaler) {
            let message = format!("{target} is scaled by {}, too", other.id());
            found.push(scaler.finding("spec.scaleTargetRef", message));
        }
    }
    for object in of_kind(objects, "ScaledObject") {
        found.extend(by_lag(object, objects));
    }
    for app in of_kind(objects, "SpinApp") {
        let wants = app.at("spec.enableAutoscaling").as_bool() == Some(true);
        if wants && !scaled.contains_key(app.name()) {
            found.push(app.finding("spec.enableAutoscaling", "nothing scales it"));
        }
    }
    found
}

fn is_scaler(object: &Object) -> bool {
    matches!(object.kind(), "HorizontalPodAutoscaler" | "ScaledObject")
}

fn whom(scaler: &Object, target: &str, objects: &[Object]) -> Option<Finding> {
    let place = "spec.scaleTargetRef.name";
    let Some(app) = find(objects, "SpinApp", target) else {
        let missing = find(objects, "Deployment", target).is_none();
        let message = format!("there is neither a SpinApp nor a Deployment {target}");
        return missing.then(|| scaler.finding(place, message));
    };
    if app.at("spec.enableAutoscaling").as_bool() != Some(true) {
        // Otherwise the operator would reset the number of replicas again and again.
        return Some(scaler.finding(place, format!("{target} lacks enableAutoscaling: true")));
    }
    let by_processor = scaler.kind() == "HorizontalPodAutoscaler";
    (by_processor && app.at("spec.resources.requests.cpu").is_null())
        .then(|| scaler.finding(place, format!("{target} requests no cpu to compare with")))
}

/// Scaling by lag must use the group and topic that the application reads, and at most as many
/// replicas as there are partitions.
fn by_lag(object: &Object, objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    let app = find(objects, "SpinApp", object.text("spec.scaleTargetRef.name"));
    for (index, trigger) in list(&object.0, "spec.triggers").iter().enumerate() {
        let place = |field: &str| format!("spec.triggers.{index}.{field}");
        if text(trigger, "type") != "kafka" {
            found.push(object.finding(&place("type"), "must be kafka"));
        }
        for (field, name) in [
            ("topic", "kafka_topic"),
            ("consumerGroup", "kafka_group"),
            ("bootstrapServers", "kafka_brokers"),
        ] {
            let reads = app.and_then(|app| variable(objects, app, name)).unwrap_or_default();
            let value = text(trigger, &format!("metadata.{field}"));
            if value != reads {
                let message = format!("is `{value}`, and {name} of the application is `{reads}`");
                found.push(object.finding(&place(&format!("metadata.{field}")), message));
            }
        }
        let topic = find(objects, "KafkaTopic", text(trigger, "metadata.topic"));
        let partitions = topic.and_then(|topic| topic.at("spec.partitions").as_u64());
        let most = object.at("spec.maxReplicaCount").as_u64();
        if most.is_none_or(|most| partitions.is_none_or(|partitions| most > partitions)) {
            let message = format!("must be at most the topic's partitions, {partitions:?}");
            found.push(object.finding("spec.maxReplicaCount", message));
        }
        let credentials = text(trigger, "authenticationRef.name");
        if find(objects, "TriggerAuthentication", credentials).is_none() {
            let message = format!("there is no TriggerAuthentication {credentials}");
            found.push(object.finding(&place("authenticationRef.name"), message));
        }
    }
    found
}
