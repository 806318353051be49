//! SpinKube's kinds, whose definitions are in no package registry: strict types, and the rules that
//! its webhooks and controllers enforce.

mod app;
mod executor;
mod quantity;
mod shim;

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::object::{Finding, Object};
use crate::schema::Schemas;

/// Checks an object of one of SpinKube's kinds; None if it is of another kind.
pub fn check(object: &Object, schemas: &Schemas) -> Result<Option<Vec<Finding>>> {
    let found = match (object.text("apiVersion"), object.kind()) {
        ("core.spinkube.dev/v1alpha1", "SpinApp") => app::check(object, schemas)?,
        ("core.spinkube.dev/v1alpha1", "SpinAppExecutor") => executor::check(object),
        ("runtime.spinkube.dev/v1alpha1", "Shim") => shim::check(object),
        _ => return Ok(None),
    };
    Ok(Some(found))
}

/// Parses `spec`. Unknown fields are errors.
fn spec<T: DeserializeOwned>(object: &Object) -> Result<T, Finding> {
    serde_path_to_error::deserialize(object.at("spec")).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => "spec".to_owned(),
            path => format!("spec.{}", path.replace('[', ".").replace(']', "")),
        };
        object.finding(&place, error.inner().to_string())
    })
}
