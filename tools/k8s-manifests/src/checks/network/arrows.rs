//! The table of the expected connections.

use std::collections::BTreeSet;

use super::{SOLVER, Workload};
use crate::checks::workload::{OPERATOR_PORT, runs_in_image};
use crate::object::{Object, find, of_kind, text};

/// A connection: from, to, port.
pub type Arrow = (String, String, u16);

/// Addresses that no selector can match.
pub const ANYWHERE: &str = "anywhere";

/// Connections that are always expected.
const ALWAYS: [(&str, &str, u16); 18] = [
    ("ingress-controller", "ingest", 80),
    ("ingest", "bridge", 80),
    ("bridge", "writer", 80),
    ("writer", "kafka", 9093),
    ("writer", "valkey", 6379),
    ("aggregator", "kafka", 9093),
    ("aggregator", "valkey", 6379),
    ("dashboard", "valkey", 6379),
    ("grafana", "valkey", 6379),
    // The plugin catalogue of Grafana.
    ("grafana", ANYWHERE, 443),
    // Replication and Sentinel.
    ("valkey", "valkey", 6379),
    ("valkey", "valkey", 26379),
    // Controllers and replication.
    ("kafka", "kafka", 9090),
    ("kafka", "kafka", 9091),
    ("entity-operator", "kafka", 9091),
    ("cluster-operator", "kafka", 9090),
    ("cluster-operator", "kafka", 9091),
    ("cluster-operator", "kafka", 8443),
];

/// Ports of the Kubernetes API: that of its Service, and those of its server, which a policy sees
/// after the address was translated. minikube uses 8443, MicroK8s 16443.
const API: [u16; 4] = [443, 6443, 8443, 16443];

/// All connections that are expected with these objects.
pub fn expected(objects: &[Object], workloads: &[Workload]) -> BTreeSet<Arrow> {
    let mut arrows: Vec<(&str, &str, u16)> = ALWAYS.to_vec();
    // Every workload uses DNS.
    arrows.extend(workloads.iter().map(|workload| (workload.name.as_str(), "dns", 53)));
    arrows.extend(API.map(|port| ("entity-operator", ANYWHERE, port)));
    if workloads.iter().any(|workload| workload.name == SOLVER) {
        arrows.push(("ingress-controller", SOLVER, 8089));
    }
    if find(objects, "NetworkPolicy", "live-page").is_some() {
        arrows.push(("ingress-controller", "dashboard", 80));
    }
    if of_kind(objects, "ScaledObject").next().is_some() {
        arrows.push(("keda", "kafka", 9093));
    }
    if find(objects, "Deployment", "audit").is_some() {
        arrows.extend([("audit", "kafka", 9093), ("audit", "valkey", 6379)]);
        // The registry of the application.
        arrows.push(("audit", ANYWHERE, 443));
        arrows.push(("prometheus", "audit", OPERATOR_PORT));
    }
    if find(objects, "PodMonitor", "aggregator").is_some() {
        arrows.extend([("prometheus", "aggregator", 80), ("prometheus", "kafka", 9404)]);
        arrows.push(("grafana", "prometheus", 9090));
    }
    if find(objects, "PodMonitor", "http").is_some() {
        let apps = ["ingest", "bridge", "writer", "dashboard"];
        arrows.extend(apps.map(|app| ("prometheus", app, OPERATOR_PORT)));
    }
    if of_kind(objects, "Kafka").any(|cluster| !cluster.at("spec.kafka.rack").is_null()) {
        // A broker queries the Kubernetes API for the zone of its node.
        arrows.extend(API.map(|port| ("kafka", ANYWHERE, port)));
    }
    let pulls = find(objects, "NetworkPolicy", "app-pull").is_some();
    let pulled = of_kind(objects, "SpinApp").filter(|app| pulls || needs_pull(objects, app));
    arrows.extend(pulled.map(|app| (text(&app.0, "metadata.name"), ANYWHERE, 443)));
    arrows.into_iter().map(|(from, to, port)| (from.into(), to.into(), port)).collect()
}

/// Whether the container downloads the application itself: if the executor is an image, unless the
/// application is loaded by hand.
fn needs_pull(objects: &[Object], app: &Object) -> bool {
    runs_in_image(objects, app) && !app.text("spec.image").starts_with("docker.io/library/")
}
