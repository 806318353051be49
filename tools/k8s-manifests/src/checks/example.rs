//! Checks the SpinApps of an example against the manifests of its applications.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use spin_app::{App, manifest};

use super::spin::retained;
use crate::object::{Finding, Object, of_kind, text};
use crate::project;

/// The violations of these rules: each SpinApp has an application of this folder as its image, keeps
/// components that exist, sets each variable that they need, and no variable that they do not use.
pub fn check(folder: &Path, objects: &[Object]) -> Result<Vec<Finding>> {
    let applications = applications(folder)?;
    let mut found = Vec::new();
    for app in of_kind(objects, "SpinApp") {
        let image = app.text("spec.image");
        let name = image.rsplit('/').next().and_then(|rest| rest.split(':').next());
        match applications.iter().find(|one| Some(one.metadata.name.as_str()) == name) {
            Some(application) => found.extend(compare(app, application)?),
            None => {
                let message = format!("no manifest in {} has this name", folder.display());
                found.push(app.finding("spec.image", message));
            }
        }
    }
    Ok(found)
}

/// The applications whose manifests are in the folder.
fn applications(folder: &Path) -> Result<Vec<App>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let is_toml = path.extension().is_some_and(|extension| extension == "toml");
        if is_toml && fs::read_to_string(&path)?.contains("spin_manifest_version") {
            found.push(manifest::read(&path)?);
        }
    }
    Ok(found)
}

fn compare(app: &Object, application: &App) -> Result<Vec<Finding>> {
    let components = project::components(application)?;
    let keeps_all = app.list("spec.components").is_empty();
    let mut found = Vec::new();
    for id in retained(app).filter(|id| !components.contains_key(*id)) {
        found.push(app.finding("spec.components", format!("the manifest has no component {id}")));
    }
    let kept = components.iter().filter(|(id, _)| keeps_all || retained(app).any(|one| one == *id));
    let used: BTreeSet<&str> =
        kept.flat_map(|(_, component)| component.variables.iter().map(String::as_str)).collect();
    let place = "spec.variables";
    let set: BTreeSet<&str> = app.list(place).iter().map(|one| text(one, "name")).collect();
    for (name, declaration) in &application.variables {
        let name = name.as_str();
        if declaration.default.is_none() && used.contains(name) && !set.contains(name) {
            found.push(app.finding(place, format!("{name} is required, and is not set")));
        }
    }
    for name in set.difference(&used) {
        found.push(app.finding(place, format!("{name} is set, and no component here uses it")));
    }
    Ok(found)
}
