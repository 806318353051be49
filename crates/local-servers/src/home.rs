//! Where the servers are installed, and how a part is installed once.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The folder of the installed servers: `DOORBUSTER_HOME`, else `.doorbuster` in the current
/// folder.
pub fn home() -> PathBuf {
    std::env::var_os("DOORBUSTER_HOME").map_or_else(|| ".doorbuster".into(), PathBuf::from)
}

/// Installs a part below [`home`] unless `made` exists, and answers where it is. Processes that
/// want the same part wait for the first.
pub fn install(
    name: &str,
    made: impl Fn(&Path) -> PathBuf,
    make: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let home = home();
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    let home = home.canonicalize()?;
    let lock = File::create(home.join(format!("{name}.lock")))?;
    lock.lock().with_context(|| format!("cannot lock the installation of {name}"))?;
    let wanted = made(&home);
    if !wanted.exists() {
        tracing::info!(name, folder = %home.display(), "installing");
        make(&home).with_context(|| format!("cannot install {name}"))?;
        ensure!(wanted.exists(), "{name}: the installation did not make {}", wanted.display());
    }
    Ok(wanted)
}

/// Runs a command to its end and answers what it printed. If it fails, the error shows that and
/// says what is `needed`.
pub fn run(command: &mut Command, needed: &str) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.output().with_context(|| format!("cannot run {shown}: {needed}"))?;
    ensure!(
        output.status.success(),
        "{shown} failed ({needed}):\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
