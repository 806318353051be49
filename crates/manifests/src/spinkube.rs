//! SpinKube's kinds, whose definitions no registry carries: strict types, and the rules that its
//! webhooks and controllers enforce.

mod app;
mod executor;
mod quantity;
mod shim;

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::object::{Finding, Object};
use crate::schema::Schemas;

/// What is wrong with an object of one of SpinKube's kinds; none if it is of another.
pub fn check(object: &Object, schemas: &Schemas) -> Result<Option<Vec<Finding>>> {
    let found = match (object.text("apiVersion"), object.kind()) {
        ("core.spinkube.dev/v1alpha1", "SpinApp") => app::check(object, schemas)?,
        ("core.spinkube.dev/v1alpha1", "SpinAppExecutor") => executor::check(object),
        ("runtime.spinkube.dev/v1alpha1", "Shim") => shim::check(object),
        _ => return Ok(None),
    };
    Ok(Some(found))
}

/// Reads `spec`, refusing what the type does not name.
fn spec<T: DeserializeOwned>(object: &Object) -> Result<T, Finding> {
    serde_path_to_error::deserialize(object.at("spec")).map_err(|error| {
        let place = match error.path().to_string().as_str() {
            "." => "spec".to_owned(),
            path => format!("spec.{}", path.replace('[', ".").replace(']', "")),
        };
        object.finding(&place, error.inner().to_string())
    })
}
