//! All checks of a set of objects.

mod alerts;
mod audit;
mod availability;
mod dashboards;
mod example;
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

use std::path::Path;

use anyhow::Result;

use crate::object::{Finding, Object};
use crate::{Project, Schemas, spinkube};

/// The namespace of all objects that are not cluster-scoped.
const NAMESPACE: &str = "black-friday";
const CLUSTER_SCOPED: [&str; 3] = ["Namespace", "RuntimeClass", "Shim"];

/// The errors in the objects of one variant, in the order of the objects.
pub fn check(project: &Project, objects: &[Object]) -> Result<Vec<Finding>> {
    let mut found = schemas(&project.schemas, objects)?;
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

/// The errors in the objects of an example, whose application has its manifest in `folder`. The other
/// checks know only this project's pipeline.
pub fn check_example(project: &Project, folder: &Path, objects: &[Object]) -> Result<Vec<Finding>> {
    let mut found = schemas(&project.schemas, objects)?;
    found.extend(example::check(folder, objects)?);
    Ok(found)
}

/// The fields of the objects that the schemas of their kinds do not allow.
fn schemas(schemas: &Schemas, objects: &[Object]) -> Result<Vec<Finding>> {
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
