//! Secrets and ConfigMaps, including those that operators create at run time.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::object::{Object, entries, list, text};

/// The keys of every Secret and ConfigMap, by kind and name.
pub struct Sources(BTreeMap<(&'static str, String), BTreeSet<String>>);

impl Sources {
    /// The rendered ones, and those that operators create from rendered objects.
    pub fn new(objects: &[Object]) -> Self {
        let mut all = BTreeMap::new();
        for object in objects {
            let name = object.name();
            let made: Option<(&'static str, String, Vec<&str>)> = match object.kind() {
                "Secret" => Some(("Secret", name.into(), keys(object, &["data", "stringData"]))),
                "ConfigMap" => {
                    Some(("ConfigMap", name.into(), keys(object, &["data", "binaryData"])))
                }
                "KafkaUser" => Some(("Secret", name.into(), vec!["password", "sasl.jaas.config"])),
                "Kafka" => {
                    let keys = vec!["ca.crt", "ca.p12", "ca.password"];
                    Some(("Secret", format!("{name}-cluster-ca-cert"), keys))
                }
                _ => None,
            };
            if let Some((kind, name, keys)) = made {
                all.insert((kind, name), keys.into_iter().map(str::to_owned).collect());
            }
            for secret in certificates(object) {
                all.insert(("Secret", secret), ["tls.crt", "tls.key"].map(str::to_owned).into());
            }
        }
        Self(all)
    }

    /// A text that says what is missing if the object or the key does not exist; None if both
    /// exist.
    pub fn missing(&self, kind: &'static str, name: &str, key: Option<&str>) -> Option<String> {
        let Some(keys) = self.0.get(&(kind, name.to_owned())) else {
            return Some(format!("there is no {kind} {name}"));
        };
        let key = key.filter(|key| !keys.contains(*key))?;
        Some(format!("the {kind} {name} has no key {key}"))
    }
}

fn keys<'a>(object: &'a Object, fields: &[&str]) -> Vec<&'a str> {
    fields.iter().flat_map(|field| entries(&object.0, field)).map(|(key, _)| &**key).collect()
}

/// The Secrets that cert-manager creates for an Ingress with its annotation.
pub fn certificates(object: &Object) -> Vec<String> {
    let asks = entries(&object.0, "metadata.annotations").any(|(name, _)| {
        matches!(&**name, "cert-manager.io/cluster-issuer" | "cert-manager.io/issuer")
    });
    let tls = if object.kind() == "Ingress" && asks { object.list("spec.tls") } else { &[] };
    tls.iter().map(|tls| text(tls, "secretName").to_owned()).collect()
}

/// The text of a key of a rendered Secret.
pub fn secret(objects: &[Object], name: &str, key: &str) -> Option<String> {
    let secret = crate::object::find(objects, "Secret", name)?;
    let (_, value) = entries(&secret.0, "data").find(|(found, _)| *found == key)?;
    decoded(value.as_str()?)
}

/// Decodes the base64 text of a Secret, which kustomize breaks into lines.
pub fn decoded(base64: &str) -> Option<String> {
    let whole: String = base64.split_whitespace().collect();
    String::from_utf8(STANDARD.decode(whole).ok()?).ok()
}

/// The value of a variable of a SpinApp; None if it is only known at run time.
pub fn variable(objects: &[Object], app: &Object, name: &str) -> Option<String> {
    let variable =
        list(&app.0, "spec.variables").iter().find(|variable| text(variable, "name") == name)?;
    if let Some(value) = variable.get("value") {
        return value.as_str().map(str::to_owned);
    }
    let (map, key) = (text(variable, "valueFrom.configMapKeyRef.name"), "data");
    if let Some(map) = crate::object::find(objects, "ConfigMap", map) {
        let wanted = text(variable, "valueFrom.configMapKeyRef.key");
        let (_, value) = entries(&map.0, key).find(|(key, _)| *key == wanted)?;
        return value.as_str().map(str::to_owned);
    }
    let key = text(variable, "valueFrom.secretKeyRef.key");
    secret(objects, text(variable, "valueFrom.secretKeyRef.name"), key)
}
