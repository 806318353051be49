//! The packages of the workspace.

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::run::{cargo, cargo_command, output_of};

/// The default packages in the format of `cargo metadata`.
pub struct Packages(Vec<Value>);

impl Packages {
    /// Runs `cargo metadata`.
    pub fn read() -> Result<Self> {
        let metadata = metadata()?;
        let default = list(&metadata, "workspace_default_members");
        let mut packages = list(&metadata, "packages");
        packages.retain(|package| package.get("id").is_some_and(|id| default.contains(id)));
        Ok(Self(packages))
    }

    /// The names of the packages.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().filter_map(name).collect()
    }

    /// The names of their test programs, except those that run only if they are named.
    pub fn test_programs(&self) -> Vec<String> {
        let targets = self.0.iter().flat_map(|package| list(package, "targets"));
        let tests = targets.filter(|target| {
            list(target, "kind").contains(&"test".into())
                && target.get("test") == Some(&true.into())
        });
        let mut names: Vec<String> = tests.filter_map(|target| name(&target)).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// The package outside the default ones whose tests are run: by `cargo xtask test-containers`,
/// because it needs libraries of the system.
const SHIM: &str = "containerd-shim-doorbuster";

/// Fails if a package has tests that no command runs, because it is not a default package.
pub fn check_tests_run() -> Result<()> {
    let default = Packages::read()?.names();
    let is_run = |name: &String| default.contains(name) || name == SHIM;
    let tested = workspace()?.into_iter().filter(|package| {
        list(package, "targets").iter().any(|target| target.get("test") == Some(&true.into()))
    });
    let forgotten: Vec<String> =
        tested.filter_map(|package| name(&package)).filter(|name| !is_run(name)).collect();
    ensure!(
        forgotten.is_empty(),
        "their tests are not run: {}; add them to `default-members` in Cargo.toml, or set \
         `test = false` for their targets",
        forgotten.join(", ")
    );
    Ok(())
}

/// Creates the packages that are published, without building them. Fails if a registry would not
/// accept one, for example because it depends on a package that is not published.
pub fn check_published() -> Result<()> {
    let published = published()?;
    let mut args = vec!["package", "--no-verify", "--allow-dirty", "--quiet"];
    args.extend(published.iter().flat_map(|name| ["--package", name]));
    cargo(&args)
}

/// The names of the packages that are published.
pub fn published() -> Result<Vec<String>> {
    let packages = workspace()?.into_iter();
    let published = packages.filter(|package| package.get("publish") == Some(&Value::Null));
    Ok(published.filter_map(|package| name(&package)).collect())
}

/// All packages of the workspace in the format of `cargo metadata`.
pub fn workspace() -> Result<Vec<Value>> {
    Ok(list(&metadata()?, "packages"))
}

fn metadata() -> Result<Value> {
    let args = ["metadata", "--format-version", "1", "--no-deps"];
    Ok(serde_json::from_str(&output_of(cargo_command().args(args))?)?)
}

/// The elements of the array `key`; none if it is missing.
pub fn list(value: &Value, key: &str) -> Vec<Value> {
    value.get(key).and_then(Value::as_array).cloned().unwrap_or_default()
}

fn name(value: &Value) -> Option<String> {
    Some(value.get("name")?.as_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_every_package_are_run() {
        check_tests_run().unwrap();
    }
}
