//! Checks the topics, the users and their permissions, and the applications' connections to the
//! brokers.

use std::collections::BTreeSet;

use super::sources::variable;
use crate::Project;
use crate::object::{Finding, Object, find, list, of_kind, text};

/// Minimum of `max.message.bytes` of the dead-letter topic: a record, its headers, and those that
/// describe the failure.
const LETTER_BYTES: u64 = 2_097_152;

/// A permission: type and name of the resource, and the operation.
type Right = (String, String, String);

/// The violations of these rules.
pub fn check(project: &Project, objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    for object in objects {
        if matches!(object.kind(), "KafkaTopic" | "KafkaUser" | "KafkaNodePool") {
            found.extend(cluster(object, objects));
        }
    }
    let brokers: u64 =
        of_kind(objects, "KafkaNodePool").map(|pool| number(pool, "spec.replicas")).sum();
    for topic in of_kind(objects, "KafkaTopic") {
        found.extend(replicas(topic, brokers));
    }
    for app in of_kind(objects, "SpinApp") {
        found.extend(application(project, objects, app));
    }
    for scaler in of_kind(objects, "ScaledObject") {
        found.extend(scaler_rights(objects, scaler));
    }
    if let Some(audit) = find(objects, "Deployment", "audit") {
        // It reads outside of the group, and writes nothing.
        let rights = topic_rights("sales-topic", &["Read", "Describe"]);
        found.extend(has_rights(audit, objects, "audit", &rights.into_iter().collect()));
    }
    found
}

fn number(object: &Object, path: &str) -> u64 {
    object.at(path).as_u64().unwrap_or_default()
}

fn cluster(object: &Object, objects: &[Object]) -> Option<Finding> {
    let label = object.0.pointer("/metadata/labels/strimzi.io~1cluster");
    let name = label.and_then(serde_json::Value::as_str).unwrap_or_default();
    let missing = find(objects, "Kafka", name).is_none();
    missing.then(|| object.finding("metadata.labels", format!("there is no Kafka `{name}`")))
}

fn replicas(topic: &Object, brokers: u64) -> Vec<Finding> {
    let mut found = Vec::new();
    let replicas = number(topic, "spec.replicas");
    if replicas == 0 || replicas > brokers {
        let message = format!("is {replicas}, and there are {brokers} brokers");
        found.push(topic.finding("spec.replicas", message));
    }
    // With two or more replicas, one broker may be lost without losing an acknowledged sale.
    let wanted = replicas.min(2);
    let place = "spec.config";
    let least = topic.0.pointer("/spec/config/min.insync.replicas").and_then(|v| v.as_u64());
    if least != Some(wanted) {
        found.push(topic.finding(place, format!("min.insync.replicas must be {wanted}")));
    }
    found
}

/// An application that reads or writes Kafka authenticates over TLS, and has exactly the
/// permissions that it needs.
fn application(project: &Project, objects: &[Object], app: &Object) -> Vec<Finding> {
    let kept = app.list("spec.components").iter();
    let kept: Vec<_> = kept.filter_map(|id| project.components.get(id.as_str()?)).collect();
    let (reads, writes) = (kept.iter().any(|c| c.is_consumer), kept.iter().any(|c| c.is_producer));
    if !reads && !writes {
        return Vec::new();
    }
    let value = |name: &str| variable(objects, app, name).unwrap_or_default();
    let (topic, user) = (value("kafka_topic"), value("kafka_username"));
    let mut found = credentials(app, objects, &user);
    if find(objects, "KafkaTopic", &topic).is_none() {
        let message = format!("kafka_topic: there is no KafkaTopic {topic}");
        found.push(app.finding("spec.variables", message));
    }
    let mut rights = BTreeSet::new();
    if writes {
        rights.extend(topic_rights(&topic, &["Write", "Describe"]));
    }
    if reads {
        let letters = format!("{topic}.dead-letter");
        rights.extend(topic_rights(&topic, &["Read", "Describe", "DescribeConfigs"]));
        rights.extend(topic_rights(&letters, &["Write", "Describe"]));
        rights.insert(("group".into(), value("kafka_group"), "Read".into()));
        found.extend(dead_letters(app, objects, &letters));
    }
    found.extend(has_rights(app, objects, &user, &rights));
    found
}

/// The only listener of the brokers requires a password, over TLS.
fn credentials(app: &Object, objects: &[Object], user: &str) -> Vec<Finding> {
    let place = "spec.variables";
    let mut found = Vec::new();
    for (name, must) in [("kafka_security", "sasl_ssl"), ("kafka_sasl_mechanism", "SCRAM-SHA-512")]
    {
        if variable(objects, app, name).as_deref() != Some(must) {
            found.push(app.finding(place, format!("{name} must be {must}, as the listener is")));
        }
    }
    for (name, secret) in [
        ("kafka_password", Some(user.to_owned())),
        (
            "kafka_ca",
            of_kind(objects, "Kafka").next().map(|k| format!("{}-cluster-ca-cert", k.name())),
        ),
    ] {
        let set = app.list(place).iter().find(|variable| text(variable, "name") == name);
        let from = set.map(|variable| text(variable, "valueFrom.secretKeyRef.name").to_owned());
        if from != secret {
            let message = format!("{name} must be from the Secret {}", secret.unwrap_or_default());
            found.push(app.finding(place, message));
        }
    }
    found
}

fn dead_letters(app: &Object, objects: &[Object], name: &str) -> Option<Finding> {
    let Some(topic) = find(objects, "KafkaTopic", name) else {
        let message = format!("there is no KafkaTopic {name} for what is given up");
        return Some(app.finding("spec.variables", message));
    };
    let most = topic.0.pointer("/spec/config/max.message.bytes").and_then(|v| v.as_u64());
    let message = || format!("max.message.bytes must be at least {LETTER_BYTES}");
    (most < Some(LETTER_BYTES)).then(|| topic.finding("spec.config", message()))
}

fn topic_rights(topic: &str, operations: &[&str]) -> Vec<Right> {
    operations.iter().map(|o| ("topic".into(), topic.into(), (*o).into())).collect()
}

/// KEDA compares the group's position with the end of the topic, and may do nothing else.
fn scaler_rights(objects: &[Object], scaler: &Object) -> Vec<Finding> {
    let mut found = Vec::new();
    for trigger in scaler.list("spec.triggers") {
        let mut rights: BTreeSet<Right> =
            topic_rights(text(trigger, "metadata.topic"), &["Describe"]).into_iter().collect();
        let group = text(trigger, "metadata.consumerGroup");
        rights.insert(("group".into(), group.into(), "Describe".into()));
        let credentials = text(trigger, "authenticationRef.name");
        let password = find(objects, "TriggerAuthentication", credentials).and_then(|auth| {
            let refs = auth.list("spec.secretTargetRef").iter();
            refs.clone().find(|r| text(r, "parameter") == "password").map(|r| text(r, "name"))
        });
        found.extend(has_rights(scaler, objects, password.unwrap_or_default(), &rights));
    }
    found
}

fn has_rights(
    who: &Object,
    objects: &[Object],
    user: &str,
    rights: &BTreeSet<Right>,
) -> Vec<Finding> {
    let Some(object) = find(objects, "KafkaUser", user) else {
        return vec![who.finding("spec", format!("there is no KafkaUser `{user}`"))];
    };
    let place = "spec.authorization.acls";
    let mut granted = BTreeSet::new();
    for acl in object.list(place) {
        let resource = |field: &str| text(acl, &format!("resource.{field}")).to_owned();
        let operations = list(acl, "operations").iter().filter_map(|o| o.as_str());
        let name = match resource("patternType").as_str() {
            "literal" => resource("name"),
            _ => format!("{}*", resource("name")),
        };
        granted.extend(operations.map(|o| (resource("type"), name.clone(), o.to_owned())));
    }
    let say = |(kind, name, operation): &Right| format!("{operation} on the {kind} {name}");
    let missing = rights.difference(&granted).map(|r| format!("lacks {}", say(r)));
    let spare = granted.difference(rights).map(|r| format!("does not need {}", say(r)));
    missing.chain(spare).map(|message| object.finding(place, message)).collect()
}
