//! Checks the layers of the workspace: a crate depends only on families at or below its own.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::packages::{list, workspace};
use crate::run::root;

/// The families of crates, from the bottom. Families of one layer do not depend on each other.
const LAYERS: [&[&str]; 7] = [
    &["crates/base"],
    &["crates/kafka", "crates/valkey"],
    &["crates/amqp"],
    &["crates/sales"],
    &["crates/guest"],
    &["crates/host"],
    &["crates/cli"],
];
/// What is never shipped. The crates of the families use it in tests only.
const TOOLS: &str = "tools";

/// Fails if a crate depends on a family above its own.
pub fn check() -> Result<()> {
    let upward = upward()?;
    ensure!(upward.is_empty(), "crates and families:\n{}", upward.join("\n"));
    Ok(())
}

/// The dependencies that point upward, as `FOLDER depends on FOLDER`, and the crates that are in no
/// family.
fn upward() -> Result<Vec<String>> {
    let mut upward = Vec::new();
    for package in workspace()? {
        let folder = folder(package.get("manifest_path"))?;
        let Some(own) = layer(&folder) else {
            if folder.starts_with("crates/") {
                upward.push(format!("{folder} is in no family of `LAYERS`"));
            }
            continue;
        };
        for dependency in list(&package, "dependencies") {
            let Some(path) = dependency.get("path").and_then(Value::as_str) else { continue };
            let target = relative(path)?;
            let is_allowed = match layer(&target) {
                Some(below) => below < own || family(&target) == family(&folder),
                None => {
                    family(&target) == TOOLS
                        && dependency.get("kind").and_then(Value::as_str) == Some("dev")
                }
            };
            if !is_allowed {
                upward.push(format!("{folder} depends on {target}"));
            }
        }
    }
    Ok(upward)
}

fn layer(folder: &str) -> Option<usize> {
    LAYERS.iter().position(|families| families.contains(&family(folder)))
}

fn family(folder: &str) -> &str {
    folder.rsplit_once('/').map_or(folder, |(family, _)| family)
}

fn folder(manifest: Option<&Value>) -> Result<String> {
    let manifest = manifest.and_then(Value::as_str).context("a package without a manifest")?;
    relative(manifest.trim_end_matches("/Cargo.toml"))
}

fn relative(path: &str) -> Result<String> {
    let relative = Path::new(path).strip_prefix(root())?;
    Ok(relative.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_crate_depends_on_a_family_above_its_own() {
        check().unwrap();
    }

    #[test]
    fn a_crate_belongs_to_the_layer_of_its_family() {
        assert!(layer("crates/cli/doorbuster") > layer("crates/kafka/record"));
        assert_eq!(layer("crates/kafka/record"), layer("crates/valkey/codec"));
        assert_eq!(layer("tools/test-servers"), None);
    }
}
