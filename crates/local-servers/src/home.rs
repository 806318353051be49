//! Where the servers are installed, how a part is installed once, and what is there already.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The folder of the installed servers: `DOORBUSTER_HOME`, else `.doorbuster` in the current
/// folder.
pub fn home() -> PathBuf {
    let home = std::env::var_os("DOORBUSTER_HOME").filter(|home| !home.is_empty());
    home.map_or_else(|| ".doorbuster".into(), PathBuf::from)
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

/// The first folder on the PATH that has all these programs.
pub fn on_path(programs: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_all = |folder: &PathBuf| programs.iter().all(|name| folder.join(name).is_file());
    std::env::split_paths(&path).find(has_all)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_only_where_all_of_them_are() {
        let folder = on_path(&["sh"]).expect("a shell is on the PATH");
        assert!(folder.join("sh").is_file());
        assert_eq!(on_path(&["sh", "no-such-program"]), None);
    }
}
