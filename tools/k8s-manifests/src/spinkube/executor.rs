//! `SpinAppExecutor`.

use serde::Deserialize;

use super::spec;
use crate::object::{Finding, Object};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Spec {
    create_deployment: bool,
    deployment_config: Option<Config>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Config {
    runtime_class_name: Option<String>,
    spin_image: Option<String>,
    ca_cert_secret: Option<String>,
    #[serde(rename = "installDefaultCACerts", default)]
    install_default_certs: bool,
    #[serde(rename = "otel")]
    _otel: Option<Otel>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a field without a rule must be known, too")]
struct Otel {
    exporter_otlp_endpoint: Option<String>,
    exporter_otlp_traces_endpoint: Option<String>,
    exporter_otlp_metrics_endpoint: Option<String>,
    exporter_otlp_logs_endpoint: Option<String>,
}

/// The errors in a SpinAppExecutor.
pub fn check(object: &Object) -> Vec<Finding> {
    let spec: Spec = match spec(object) {
        Ok(spec) => spec,
        Err(finding) => return vec![finding],
    };
    let place = "spec.deploymentConfig";
    let Some(config) = spec.deployment_config else {
        // The controller dereferences it without a check.
        let missing = || object.finding(place, "is needed with createDeployment: true");
        return spec.create_deployment.then(missing).into_iter().collect();
    };
    let mut found = Vec::new();
    if config.runtime_class_name.is_some() == config.spin_image.is_some() {
        found.push(object.finding(place, "needs either runtimeClassName or spinImage"));
    }
    if config.ca_cert_secret.is_some() && config.install_default_certs {
        found.push(
            object.finding(place, "caCertSecret and installDefaultCACerts exclude each other"),
        );
    }
    found
}
