//! `Shim`, a kind of the runtime-class-manager.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::spec;
use crate::object::{Finding, Object};

/// Names of architectures that the manager accepts.
const ARCHITECTURES: [&str; 4] = ["amd64", "arm64", "x86_64", "aarch64"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    #[serde(rename = "nodeSelector", default)]
    _node_selector: BTreeMap<String, String>,
    fetch_strategy: FetchStrategy,
    runtime_class: RuntimeClass,
    rollout_strategy: RolloutStrategy,
    #[serde(rename = "containerdRuntimeOptions", default)]
    _containerd_runtime_options: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FetchStrategy {
    #[serde(rename = "type")]
    _type: Option<String>,
    #[serde(default)]
    platforms: Vec<Platform>,
    anon_http: Option<Location>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Platform {
    os: String,
    arch: String,
    location: String,
    sha256: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Location {
    location: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuntimeClass {
    name: String,
    handler: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RolloutStrategy {
    r#type: String,
    #[serde(rename = "rolling")]
    _rolling: Option<Rolling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "a field without a rule must be known, too")]
struct Rolling {
    max_update: u32,
}

/// The errors in a Shim.
pub fn check(object: &Object) -> Vec<Finding> {
    let spec: Spec = match spec(object) {
        Ok(spec) => spec,
        Err(finding) => return vec![finding],
    };
    let mut found = Vec::new();
    let mut wrong = |place: &str, message: &str| found.push(object.finding(place, message));
    if !object.at("metadata.namespace").is_null() {
        wrong("metadata.namespace", "a Shim belongs to the whole cluster");
    }
    // The manager uses the Shim's name for the handler in containerd's configuration.
    if spec.runtime_class.handler != object.name() {
        wrong("spec.runtimeClass.handler", "must be the Shim's own name");
    }
    if spec.runtime_class.name.is_empty() {
        wrong("spec.runtimeClass.name", "is empty");
    }
    if !["rolling", "recreate"].contains(&spec.rollout_strategy.r#type.as_str()) {
        wrong("spec.rolloutStrategy.type", "must be rolling or recreate");
    }
    let fetch = &spec.fetch_strategy;
    if fetch.platforms.is_empty() && fetch.anon_http.is_none() {
        wrong("spec.fetchStrategy", "names no tarball");
    }
    let anonymous = fetch.anon_http.iter().map(|http| &http.location);
    for location in fetch.platforms.iter().map(|platform| &platform.location).chain(anonymous) {
        if !location.starts_with("http") || !location.ends_with(".tar.gz") {
            wrong("spec.fetchStrategy", &format!("{location} is no URL of a .tar.gz"));
        }
    }
    for (index, platform) in fetch.platforms.iter().enumerate() {
        let place = format!("spec.fetchStrategy.platforms.{index}");
        if platform.os != "linux" || !ARCHITECTURES.contains(&platform.arch.as_str()) {
            wrong(&place, &format!("{}/{} is not known", platform.os, platform.arch));
        }
        let is_digest =
            |text: &String| text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit());
        if !platform.sha256.as_ref().is_none_or(is_digest) {
            wrong(&place, "sha256 must be 64 hexadecimal digits");
        }
    }
    found
}
