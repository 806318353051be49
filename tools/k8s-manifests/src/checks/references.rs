//! Checks that all referenced objects exist: Secrets, ConfigMaps, their keys, claims, Services,
//! ports.

use serde_json::Value;

use super::selector::{has, takes};
use super::sources::Sources;
use super::workload::{Workload, workloads};
use crate::object::{Finding, Object, entries, find, list, of_kind, text, walk};

/// The references to objects that do not exist.
pub fn check(objects: &[Object]) -> Vec<Finding> {
    let (sources, workloads) = (Sources::new(objects), workloads(objects));
    let mut found = Vec::new();
    for object in objects {
        walk(&object.0, "", &mut |path, value| {
            let missing = missing_source(path, value, &sources);
            found.extend(missing.map(|message| object.finding(path, message)));
            found.extend(account(object, path, value, objects));
        });
        found.extend(claims(object, objects));
        found.extend(probes(object));
    }
    for service in of_kind(objects, "Service") {
        found.extend(targets(service, &workloads));
    }
    for ingress in of_kind(objects, "Ingress") {
        found.extend(backends(ingress, objects));
    }
    for set in of_kind(objects, "StatefulSet") {
        let name = set.text("spec.serviceName");
        if find(objects, "Service", name).is_none() {
            found.push(set.finding("spec.serviceName", format!("there is no Service {name}")));
        }
    }
    for budget in of_kind(objects, "PodDisruptionBudget") {
        let selector = budget.at("spec.selector");
        if !workloads.iter().any(|workload| takes(selector, &workload.labels)) {
            found.push(budget.finding("spec.selector", "selects no pods"));
        }
    }
    for monitor in of_kind(objects, "PodMonitor") {
        found.extend(monitored(monitor, &workloads));
    }
    found
}

/// A pod whose account does not exist is never created. The account `default` always exists.
fn account(object: &Object, path: &str, value: &Value, objects: &[Object]) -> Option<Finding> {
    let is_it = path.rsplit('.').next() == Some("serviceAccountName");
    let name = value.as_str().filter(|name| is_it && *name != "default")?;
    let missing = find(objects, "ServiceAccount", name).is_none();
    missing.then(|| object.finding(path, format!("there is no ServiceAccount {name}")))
}

/// What is missing if the value at this path refers to a Secret or a ConfigMap.
fn missing_source(path: &str, value: &Value, sources: &Sources) -> Option<String> {
    let optional = value.get("optional") == Some(&Value::Bool(true));
    if optional {
        return None;
    }
    let (parent, field) = path.rsplit_once('.').unwrap_or(("", path));
    let parent = parent.rsplit('.').next().unwrap_or_default();
    let key = value.get("key").and_then(Value::as_str);
    match (field, parent) {
        ("secretKeyRef", _) => sources.missing("Secret", text(value, "name"), key),
        ("configMapKeyRef", _) => sources.missing("ConfigMap", text(value, "name"), key),
        ("secretRef", _) => sources.missing("Secret", text(value, "name"), None),
        ("configMapRef", _) => sources.missing("ConfigMap", text(value, "name"), None),
        ("loadFromSecret" | "caCertSecret", _) => sources.missing("Secret", value.as_str()?, None),
        (_, "secretTargetRef") => sources.missing("Secret", text(value, "name"), key),
        (_, "configMapTargetRef") => sources.missing("ConfigMap", text(value, "name"), key),
        (_, "imagePullSecrets") => sources.missing("Secret", text(value, "name"), None),
        (_, "tls") => sources.missing("Secret", value.get("secretName")?.as_str()?, None),
        (_, "volumes") => volume(value, sources),
        _ => None,
    }
}

fn volume(volume: &Value, sources: &Sources) -> Option<String> {
    let (kind, source, name) = match (volume.get("secret"), volume.get("configMap")) {
        (Some(secret), _) => ("Secret", secret, text(secret, "secretName")),
        (_, Some(map)) => ("ConfigMap", map, text(map, "name")),
        _ => return None,
    };
    let items = list(source, "items").iter().map(|item| Some(text(item, "key")));
    std::iter::once(None).chain(items).find_map(|key| sources.missing(kind, name, key))
}

fn claims<'a>(object: &'a Object, objects: &'a [Object]) -> impl Iterator<Item = Finding> + 'a {
    let place = "spec.template.spec.volumes";
    object.list(place).iter().filter_map(move |volume| {
        let claim = volume.get("persistentVolumeClaim")?;
        let name = text(claim, "claimName");
        let missing = find(objects, "PersistentVolumeClaim", name).is_none();
        missing.then(|| object.finding(place, format!("there is no PersistentVolumeClaim {name}")))
    })
}

/// Probes with ports that their container does not have, and mounts of volumes that do not exist.
fn probes(object: &Object) -> Vec<Finding> {
    let place = "spec.template.spec.containers";
    let claims = object.list("spec.volumeClaimTemplates");
    let claims = claims.iter().map(|claim| text(claim, "metadata.name"));
    let volumes = object.list("spec.template.spec.volumes").iter();
    let volumes: Vec<&str> = volumes.map(|volume| text(volume, "name")).chain(claims).collect();
    let mut found = Vec::new();
    for (index, container) in object.list(place).iter().enumerate() {
        let place = format!("{place}.{index}");
        let is_port = |port: &Value| {
            let names = ["name", "containerPort"];
            list(container, "ports")
                .iter()
                .any(|own| names.iter().any(|n| own.get(n) == Some(port)))
        };
        for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
            for action in ["httpGet", "tcpSocket"] {
                let port = container.get(probe).and_then(|probe| probe.get(action)?.get("port"));
                if let Some(port) = port.filter(|port| !is_port(port)) {
                    let place = format!("{place}.{probe}.{action}.port");
                    found.push(object.finding(&place, format!("the container has no port {port}")));
                }
            }
        }
        for mount in list(container, "volumeMounts") {
            let name = text(mount, "name");
            if !volumes.contains(&name) {
                let place = format!("{place}.volumeMounts");
                found.push(object.finding(&place, format!("there is no volume {name}")));
            }
        }
    }
    found
}

/// A Service must select pods that have its ports.
fn targets(service: &Object, workloads: &[Workload]) -> Vec<Finding> {
    let selected: Vec<&Workload> = workloads
        .iter()
        .filter(|workload| has(&workload.labels, entries(&service.0, "spec.selector")))
        .collect();
    if selected.is_empty() || service.at("spec.selector").is_null() {
        return vec![service.finding("spec.selector", "selects no pods")];
    }
    let mut found = Vec::new();
    for (index, port) in service.list("spec.ports").iter().enumerate() {
        let target = port.get("targetPort").or_else(|| port.get("port")).unwrap_or(&Value::Null);
        let is_there = |workload: &&Workload| match (target.as_str(), target.as_u64()) {
            (Some(name), _) => workload.ports.contains_key(name),
            (_, Some(number)) => workload.ports.values().any(|port| u64::from(*port) == number),
            _ => false,
        };
        if !selected.iter().all(is_there) {
            let place = format!("spec.ports.{index}.targetPort");
            found.push(service.finding(&place, format!("the pods have no port {target}")));
        }
    }
    found
}

/// An Ingress must refer to a port of a Service. Every SpinApp has a Service with port 80.
fn backends(ingress: &Object, objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    walk(&ingress.0, "", &mut |path, value| {
        if !path.ends_with("backend.service") {
            return;
        }
        let (name, port) = (text(value, "name"), &value["port"]);
        let number = port["number"].as_u64();
        let is_there = match find(objects, "Service", name) {
            Some(service) => service.list("spec.ports").iter().any(|own| {
                (number.is_some() && own["port"].as_u64() == number)
                    || (!port["name"].is_null() && own["name"] == port["name"])
            }),
            None => find(objects, "SpinApp", name).is_some() && number == Some(80),
        };
        if !is_there {
            let message = format!("there is no Service {name} with the port {port}");
            found.push(ingress.finding(path, message));
        }
    });
    found
}

fn monitored(monitor: &Object, workloads: &[Workload]) -> Vec<Finding> {
    let selector = monitor.at("spec.selector");
    let selected = workloads.iter().filter(|workload| takes(selector, &workload.labels));
    let selected: Vec<&Workload> = selected.collect();
    if selected.is_empty() {
        return vec![monitor.finding("spec.selector", "selects no pods")];
    }
    let mut found = Vec::new();
    for (index, endpoint) in monitor.list("spec.podMetricsEndpoints").iter().enumerate() {
        let (field, port) = match endpoint.get("portNumber") {
            Some(number) => ("portNumber", number),
            None => ("port", endpoint.get("port").unwrap_or(&Value::Null)),
        };
        let is_there = |workload: &&Workload| match port.as_u64() {
            Some(number) => workload.ports.values().any(|own| u64::from(*own) == number),
            None => workload.ports.contains_key(port.as_str().unwrap_or_default()),
        };
        if !selected.iter().all(is_there) {
            let place = format!("spec.podMetricsEndpoints.{index}.{field}");
            found.push(monitor.finding(&place, format!("the pods have no port {port}")));
        }
    }
    found
}
