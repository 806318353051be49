//! All checks of a set of objects.

mod alerts;
mod audit;
mod availability;
mod dashboards;
mod kafka;
mod metrics;
mod network;
mod references;
mod scaling;
mod selector;
mod sources;
mod spin;
mod urls;
mod valkey;
mod workload;

use anyhow::Result;

use crate::object::{Finding, Object};
use crate::{Project, Schemas, spinkube};

/// The namespace of all objects that are not cluster-scoped.
const NAMESPACE: &str = "black-friday";
const CLUSTER_SCOPED: [&str; 3] = ["Namespace", "RuntimeClass", "Shim"];

/// The errors in the objects of one variant, in the order of the objects.
pub fn check(project: &Project, objects: &[Object]) -> Result<Vec<Finding>> {
    let mut found = check_schemas(&project.schemas, objects)?;
    found.extend(objects.iter().filter_map(namespace));
    found.extend(references::check(objects));
    found.extend(urls::check(objects)?);
    found.extend(spin::check(project, objects));
    found.extend(scaling::check(objects));
    found.extend(availability::check(project, objects));
    found.extend(kafka::check(project, objects));
    found.extend(valkey::check(objects)?);
    found.extend(network::check(objects));
    found.extend(audit::check(objects));
    found.extend(alerts::check(project, objects)?);
    found.extend(dashboards::check(project, objects)?);
    found.sort();
    found.dedup();
    Ok(found)
}

/// The fields of the objects that the schemas of their kinds do not allow. For the manifests of
/// examples, which the other checks do not know.
pub fn check_schemas(schemas: &Schemas, objects: &[Object]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for object in objects {
        match spinkube::check(object, schemas)? {
            Some(findings) => found.extend(findings),
            None => found.extend(schemas.check(object)?),
        }
    }
    Ok(found)
}

/// An object without a namespace would be created in the current namespace of the user.
fn namespace(object: &Object) -> Option<Finding> {
    let place = "metadata.namespace";
    let is_wrong = !CLUSTER_SCOPED.contains(&object.kind()) && object.text(place) != NAMESPACE;
    is_wrong.then(|| object.finding(place, format!("must be {NAMESPACE}")))
}
