//! `SpinApp`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use super::quantity::quantity;
use super::spec;
use crate::object::{Finding, Object};
use crate::schema::Schemas;

/// Maximum length of a name: the label `core.spinkube.dev/app.<name>.status` may have 63
/// characters.
const NAME_MAX: usize = 52;

type Strings = BTreeMap<String, String>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "a field without a rule must be known, too")]
struct Spec {
    image: String,
    executor: Option<String>,
    replicas: Option<u32>,
    #[serde(default)]
    enable_autoscaling: bool,
    components: Option<Vec<String>>,
    #[serde(default)]
    variables: Vec<Variable>,
    runtime_config: Option<RuntimeConfig>,
    #[serde(default)]
    volumes: Vec<Value>,
    #[serde(default)]
    volume_mounts: Vec<Value>,
    #[serde(default)]
    checks: Checks,
    #[serde(default)]
    resources: Resources,
    #[serde(default)]
    invocation_limits: Strings,
    #[serde(default)]
    image_pull_secrets: Vec<Named>,
    service_account_name: Option<String>,
    #[serde(default)]
    service_annotations: Strings,
    #[serde(default)]
    deployment_annotations: Strings,
    #[serde(default)]
    pod_annotations: Strings,
    #[serde(default)]
    pod_labels: Strings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the check of references checks the name")]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Variable {
    name: String,
    value: Option<String>,
    value_from: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RuntimeConfig {
    load_from_secret: Option<String>,
    #[serde(default)]
    key_value_stores: Vec<Store>,
    #[serde(default)]
    sqlite_databases: Vec<Store>,
    llm_compute: Option<Compute>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a field without a rule must be known, too")]
struct Store {
    name: String,
    r#type: String,
    #[serde(default)]
    options: Vec<Variable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a field without a rule must be known, too")]
struct Compute {
    r#type: String,
    #[serde(default)]
    options: Vec<Variable>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Checks {
    liveness: Option<Probe>,
    readiness: Option<Probe>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "a field without a rule must be known, too")]
struct Probe {
    http_get: HttpGet,
    initial_delay_seconds: Option<u32>,
    timeout_seconds: Option<u32>,
    period_seconds: Option<u32>,
    success_threshold: Option<u32>,
    failure_threshold: Option<u32>,
}

/// The field is required: without it the webhook writes null, which the definition rejects.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct HttpGet {
    path: String,
    #[serde(rename = "httpHeaders")]
    _http_headers: Vec<Header>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a field without a rule must be known, too")]
struct Header {
    name: String,
    value: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    limits: Strings,
    #[serde(default)]
    requests: Strings,
}

/// The errors in a SpinApp.
pub fn check(object: &Object, schemas: &Schemas) -> Result<Vec<Finding>> {
    let spec: Spec = match spec(object) {
        Ok(spec) => spec,
        Err(finding) => return Ok(vec![finding]),
    };
    let mut found = Vec::new();
    found.extend(spec.basics(object));
    found.extend(spec.runtime(object));
    found.extend(spec.probes(object));
    found.extend(spec.limits(object));
    found.extend(spec.embedded(object, schemas)?);
    Ok(found)
}

impl Spec {
    fn basics(&self, object: &Object) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut wrong = |place: &str, message: &str| found.push(object.finding(place, message));
        if object.name().len() > NAME_MAX {
            wrong("metadata.name", "is longer than 52 characters, which a label of it may not be");
        }
        if self.executor.as_deref().unwrap_or_default().is_empty() {
            wrong("spec.executor", "is missing: any executor of the cluster could be taken");
        }
        match (self.enable_autoscaling, self.replicas) {
            (true, Some(replicas)) if replicas > 0 => {
                wrong("spec.replicas", "must be absent with enableAutoscaling");
            }
            (false, None | Some(0)) => {
                wrong("spec.replicas", "must be at least 1 without enableAutoscaling");
            }
            _ => {}
        }
        if self.components.as_ref().is_some_and(Vec::is_empty) {
            wrong("spec.components", "must name at least one component");
        }
        let mut names = BTreeSet::new();
        for (index, variable) in self.variables.iter().enumerate() {
            let place = format!("spec.variables.{index}");
            if !names.insert(&variable.name) {
                wrong(&place, &format!("{} is set twice", variable.name));
            }
            if variable.value.is_some() == variable.value_from.is_some() {
                wrong(&place, &format!("{} needs either value or valueFrom", variable.name));
            }
        }
        found
    }

    fn runtime(&self, object: &Object) -> Option<Finding> {
        let runtime = self.runtime_config.as_ref()?;
        let others = !runtime.key_value_stores.is_empty()
            || !runtime.sqlite_databases.is_empty()
            || runtime.llm_compute.is_some();
        (runtime.load_from_secret.is_some() && others).then(|| {
            object.finding("spec.runtimeConfig", "loadFromSecret excludes everything else")
        })
    }

    fn probes<'a>(&'a self, object: &'a Object) -> impl Iterator<Item = Finding> {
        let probes = [("liveness", &self.checks.liveness), ("readiness", &self.checks.readiness)];
        probes.into_iter().filter_map(|(name, probe)| {
            let path = &probe.as_ref()?.http_get.path;
            let place = format!("spec.checks.{name}.httpGet.path");
            (!path.starts_with('/')).then(|| object.finding(&place, "must begin with a slash"))
        })
    }

    fn limits(&self, object: &Object) -> Vec<Finding> {
        let mut found = Vec::new();
        let mut wrong = |place: &str, message: &str| found.push(object.finding(place, message));
        for (place, amounts) in
            [("limits", &self.resources.limits), ("requests", &self.resources.requests)]
        {
            for (name, amount) in amounts {
                if quantity(amount).is_none() {
                    let place = format!("spec.resources.{place}.{name}");
                    wrong(&place, &format!("`{amount}` is no quantity"));
                }
            }
        }
        for (name, request) in &self.resources.requests {
            let limit = self.resources.limits.get(name).and_then(|limit| quantity(limit));
            if limit.zip(quantity(request)).is_some_and(|(limit, request)| request > limit) {
                wrong(&format!("spec.resources.requests.{name}"), "is more than the limit");
            }
        }
        let memory = |amounts: &Strings| amounts.get("memory").and_then(|text| quantity(text));
        let most = memory(&self.resources.limits).or_else(|| memory(&self.resources.requests));
        for (name, limit) in &self.invocation_limits {
            let place = format!("spec.invocationLimits.{name}");
            match (name.as_str(), quantity(limit)) {
                ("memory", Some(limit)) if most.is_some_and(|most| limit > most) => {
                    wrong(&place, "is more than the memory of the pod");
                }
                ("memory", Some(_)) => {}
                ("memory", None) => wrong(&place, "is no quantity"),
                _ => wrong(&place, "only memory can be limited"),
            }
        }
        found
    }

    /// Checks the values whose types are defined by Kubernetes.
    fn embedded(&self, object: &Object, schemas: &Schemas) -> Result<Vec<Finding>> {
        let sources = self.variables.iter().enumerate().filter_map(|(index, variable)| {
            let place = format!("spec.variables.{index}.valueFrom");
            Some((place, "EnvVarSource", variable.value_from.as_ref()?))
        });
        let volumes = self.volumes.iter().enumerate();
        let volumes = volumes.map(|(i, value)| (format!("spec.volumes.{i}"), "Volume", value));
        let mounts = self.volume_mounts.iter().enumerate();
        let mounts =
            mounts.map(|(i, value)| (format!("spec.volumeMounts.{i}"), "VolumeMount", value));
        let mut found = Vec::new();
        for (place, kind, value) in sources.chain(volumes).chain(mounts) {
            for (below, message) in schemas.check_core(kind, value)? {
                let place = format!("{place}.{below}");
                found.push(object.finding(place.trim_end_matches('.'), message));
            }
        }
        Ok(found)
    }
}
