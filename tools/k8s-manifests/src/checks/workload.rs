//! The workloads, including pods that operators create.

use std::collections::BTreeMap;

use super::sources::certificates;
use crate::object::{Object, entries, find, list, text};

/// The temporary pods with which cert-manager proves the ownership of a host name.
pub const SOLVER: &str = "http01-solver";

/// The operator port that our image opens (`xtask/src/image.rs`). In the containerd shim an
/// application has none, because SpinKube cannot set the variable for it.
pub const OPERATOR_PORT: u16 = 9464;

/// The labels of a pod.
pub type Labels = BTreeMap<String, String>;

/// A set of identical pods.
#[derive(Debug, Clone)]
pub struct Workload {
    /// Its name in the table of connections.
    pub name: String,
    /// The labels of the pods.
    pub labels: Labels,
    /// The ports by name.
    pub ports: BTreeMap<String, u16>,
}

/// All workloads that these objects create.
pub fn workloads(objects: &[Object]) -> Vec<Workload> {
    let asks = objects.iter().any(|object| !certificates(object).is_empty());
    objects
        .iter()
        .flat_map(|object| workloads_of(object, objects))
        .chain(asks.then(solver))
        .collect()
}

fn workloads_of(object: &Object, objects: &[Object]) -> Vec<Workload> {
    match object.kind() {
        "Deployment" | "StatefulSet" | "DaemonSet" => vec![template(object)],
        "SpinApp" => vec![app(object, runs_in_image(objects, object))],
        "Kafka" => vec![brokers(object), entity_operator(object)],
        _ => Vec::new(),
    }
}

fn template(object: &Object) -> Workload {
    let labels = entries(&object.0, "spec.template.metadata.labels");
    let labels = labels.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.into())));
    let containers = object.list("spec.template.spec.containers");
    let ports = containers.iter().flat_map(|container| list(container, "ports"));
    let ports = ports.filter_map(|port| {
        let number = u16::try_from(port.get("containerPort")?.as_u64()?).ok()?;
        Some((text(port, "name").to_owned(), number))
    });
    Workload { name: object.name().into(), labels: labels.collect(), ports: ports.collect() }
}

/// Whether the executor of a SpinApp runs it in our image.
pub fn runs_in_image(objects: &[Object], app: &Object) -> bool {
    let executor = find(objects, "SpinAppExecutor", app.text("spec.executor"));
    executor.is_some_and(|executor| !executor.at("spec.deploymentConfig.spinImage").is_null())
}

/// The Deployment that the operator creates for a SpinApp.
fn app(object: &Object, in_image: bool) -> Workload {
    let name = object.name().to_owned();
    let mut ports = BTreeMap::from([("http-app".into(), 80)]);
    if in_image {
        ports.insert("operator".into(), OPERATOR_PORT);
    }
    let labels = [("core.spinkube.dev/app-name".into(), name.clone())].into();
    Workload { labels, ports, name }
}

fn strimzi(cluster: &str, part: &str) -> Labels {
    let label = |name: &str, value: String| (format!("strimzi.io/{name}"), value);
    [label("cluster", cluster.into()), label("name", format!("{cluster}-{part}"))].into()
}

fn brokers(object: &Object) -> Workload {
    let mut ports: BTreeMap<String, u16> = [
        ("tcp-ctrlplane".into(), 9090),
        ("tcp-replication".into(), 9091),
        ("tcp-kafkaagent".into(), 8443),
    ]
    .into();
    for listener in object.list("spec.kafka.listeners") {
        let number = listener.get("port").and_then(serde_json::Value::as_u64).unwrap_or_default();
        ports.insert(format!("tcp-{}", text(listener, "name")), number.try_into().unwrap_or(0));
    }
    if !object.at("spec.kafka.metricsConfig").is_null() {
        ports.insert("tcp-prometheus".into(), 9404);
    }
    Workload { name: "kafka".into(), labels: strimzi(object.name(), "kafka"), ports }
}

fn solver() -> Workload {
    let labels = [("acme.cert-manager.io/http01-solver".into(), "true".into())].into();
    Workload { name: SOLVER.into(), labels, ports: [("http".into(), 8089)].into() }
}

fn entity_operator(object: &Object) -> Workload {
    let labels = strimzi(object.name(), "entity-operator");
    Workload { name: "entity-operator".into(), labels, ports: BTreeMap::new() }
}
