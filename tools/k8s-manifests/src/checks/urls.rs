//! Checks that DNS names of the cluster, in any text, refer to a Service and one of its ports.

use anyhow::Result;
use regex::Regex;
use serde_json::Value;

use super::sources::decoded;
use crate::object::{Finding, Object, find, text, walk};

/// An optional `http://`, an optional pod, a Service, the namespace, and an optional port.
const NAME: &str = r"(http://)?(?:([a-z0-9-]+|\$\(POD\))\.)?([a-z0-9-]+)\.([a-z0-9-]+)\.svc\.cluster\.local(?::(\d+))?";

/// Services of other programs: name, namespace and port. The Prometheus operator creates this one.
const OTHERS: [(&str, &str, u64); 1] = [("prometheus-operated", "monitoring", 9090)];

/// The names that belong to no Service or port.
pub fn check(objects: &[Object]) -> Result<Vec<Finding>> {
    let name = Regex::new(NAME)?;
    let mut found = Vec::new();
    for object in objects {
        walk(&object.0, "", &mut |path, value| {
            let Some(text) = value.as_str() else { return };
            let text = plain(object, path, text);
            for place in name.captures_iter(&text) {
                let part = |index| place.get(index).map_or("", |part| part.as_str());
                let port = match (part(5), part(1)) {
                    ("", "http://") => Some(80),
                    ("", _) => None,
                    (port, _) => port.parse().ok(),
                };
                let at = Place { pod: part(2), service: part(3), namespace: part(4), port };
                found.extend(at.missing(objects).map(|message| object.finding(path, message)));
            }
        });
    }
    Ok(found)
}

/// The decoded value of a Secret.
fn plain(object: &Object, path: &str, text: &str) -> String {
    let is_encoded = object.kind() == "Secret" && path.starts_with("data.");
    is_encoded.then(|| decoded(text)).flatten().unwrap_or_else(|| text.to_owned())
}

struct Place<'a> {
    pod: &'a str,
    service: &'a str,
    namespace: &'a str,
    port: Option<u64>,
}

impl Place<'_> {
    fn missing(&self, objects: &[Object]) -> Option<String> {
        let Self { pod, service, namespace, port } = self;
        if OTHERS
            .iter()
            .any(|other| (other.0, other.1, Some(other.2)) == (service, namespace, *port))
        {
            return None;
        }
        if find(objects, "Namespace", namespace).is_none() {
            return Some(format!("there is no namespace {namespace}"));
        }
        let Some(ports) = ports(objects, service) else {
            return Some(format!("there is no Service {service}"));
        };
        if let Some(port) = port.filter(|port| !ports.contains(port)) {
            return Some(format!("the Service {service} has no port {port}"));
        }
        if pod.is_empty() || *pod == "$(POD)" {
            return None;
        }
        let ordinal = pod.strip_prefix(service).and_then(|rest| rest.strip_prefix('-'));
        let ordinal: Option<u64> = ordinal.and_then(|number| number.parse().ok());
        let set = find(objects, "StatefulSet", service);
        let replicas = set.and_then(|set| set.at("spec.replicas").as_u64()).unwrap_or_default();
        let is_there = ordinal.is_some_and(|ordinal| ordinal < replicas);
        (!is_there).then(|| format!("there is no pod {pod} behind the Service {service}"))
    }
}

/// The ports of a Service, including those that operators create; None if it does not exist.
fn ports(objects: &[Object], service: &str) -> Option<Vec<u64>> {
    if let Some(service) = find(objects, "Service", service) {
        let ports = service.list("spec.ports").iter();
        return Some(ports.filter_map(|port| port.get("port").and_then(Value::as_u64)).collect());
    }
    if find(objects, "SpinApp", service).is_some() {
        return Some(vec![80]);
    }
    let cluster = find(objects, "Kafka", service.strip_suffix("-kafka-bootstrap")?)?;
    let internal = cluster.list("spec.kafka.listeners").iter();
    let internal = internal.filter(|listener| text(listener, "type") == "internal");
    Some(internal.filter_map(|listener| listener.get("port").and_then(Value::as_u64)).collect())
}
