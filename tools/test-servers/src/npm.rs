//! Packages of npm.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::home::{install, run};

/// Downloads a package and unpacks it. It is not installed: none of its scripts runs. Returns its
/// folder.
pub fn npm_package(name: &str, version: &str) -> Result<PathBuf> {
    let folder = format!("{name}-{version}");
    install(
        name,
        |home| home.join(&folder),
        |home| {
            let unpacking = TempDir::with_prefix_in("unpacking-", home)?;
            let mut download = Command::new("npm");
            download
                .args(["pack", "--silent", &format!("{name}@{version}")])
                .current_dir(&unpacking);
            let archive = run(&mut download, "Node with npm is needed")?;
            let mut extract = Command::new("tar");
            extract.args(["--extract", "--file", archive.trim()]).current_dir(&unpacking);
            run(&mut extract, "tar is needed")?;
            // Every archive of npm contains one folder of this name.
            let place = home.join(&folder);
            std::fs::rename(unpacking.path().join("package"), &place)
                .with_context(|| place.display().to_string())
        },
    )
}
