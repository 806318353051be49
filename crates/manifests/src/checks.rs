//! Everything that is checked of a set of objects.

mod alerts;
mod kafka;
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
use crate::{Project, spinkube};

/// What is wrong with the objects of one rendering, in order.
pub fn check(project: &Project, objects: &[Object]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    for object in objects {
        match spinkube::check(object, &project.schemas)? {
            Some(findings) => found.extend(findings),
            None => found.extend(project.schemas.check(object)?),
        }
    }
    found.extend(references::check(objects));
    found.extend(urls::check(objects)?);
    found.extend(spin::check(project, objects));
    found.extend(scaling::check(objects));
    found.extend(kafka::check(project, objects));
    found.extend(valkey::check(objects)?);
    found.extend(network::check(objects));
    found.extend(alerts::check(project, objects)?);
    found.sort();
    found.dedup();
    Ok(found)
}
