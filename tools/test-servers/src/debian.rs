//! Programs from Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::home::{install, run};
use child_server::on_path;

/// A Debian package.
pub struct Package {
    pub name: &'static str,
    /// The folder of its programs within the package.
    pub folder: &'static str,
    /// The programs that are needed.
    pub programs: &'static [&'static str],
}

impl Package {
    /// The folder with the programs: the first one on the PATH that has all of them, or that of the
    /// package.
    pub fn find(&self) -> Result<PathBuf> {
        if let Some(found) = on_path(self.programs) {
            return Ok(found);
        }
        let Self { name, folder, .. } = self;
        install(name, |home| home.join(name).join(folder), |home| unpack(name, home))
    }
}

/// Downloads a package and unpacks it into a folder of `home`. It is not installed: none of its
/// scripts runs, and nothing is started.
fn unpack(name: &str, home: &Path) -> Result<()> {
    let needed = format!("{name} is needed on the PATH, or Debian's apt-get and dpkg-deb");
    let folder = TempDir::with_prefix_in("unpacking-", home)?;
    let mut download = Command::new("apt-get");
    download.args(["--quiet", "download", name]).current_dir(&folder);
    if run(&mut download, &needed).is_err() {
        // The lists of packages may be outdated, or missing as in many images.
        run(Command::new("apt-get").args(["--quiet", "update"]), &needed)?;
        run(&mut download, &needed)?;
    }
    let package = fs::read_dir(&folder)?.next().context("apt-get downloaded nothing")??;
    let unpacked = folder.path().join(name);
    let mut extract = Command::new("dpkg-deb");
    run(extract.arg("--extract").arg(package.path()).arg(&unpacked), &needed)?;
    let place = home.join(name);
    fs::rename(unpacked, &place).with_context(|| place.display().to_string())
}

/// Downloads a package and those of its dependencies that this system does not have, and unpacks all
/// of them into one folder of `home` with its name. They are not installed: none of their scripts
/// runs.
pub fn unpack_all(name: &str, needed: &str, home: &Path) -> Result<()> {
    let folder = TempDir::with_prefix_in("unpacking-", home)?;
    // The lists of packages may be outdated, or missing as in many images. Outdated lists name old
    // versions that can no longer be downloaded.
    run(Command::new("apt-get").args(["--quiet", "update"]), needed)?;
    let mut plan = Command::new("apt-get");
    plan.args(["--quiet", "--simulate", "--no-install-recommends", "install", name]);
    let plan = run(&mut plan, needed)?;
    let missing = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let missing: Vec<&str> = missing.collect();
    ensure!(!missing.is_empty(), "{name} is installed, but not on the PATH");
    let mut download = Command::new("apt-get");
    run(download.args(["--quiet", "download"]).args(missing).current_dir(&folder), needed)?;
    let unpacked = folder.path().join("unpacked");
    for package in fs::read_dir(&folder)? {
        let package = package?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&unpacked), needed)?;
        }
    }
    let place = home.join(name);
    fs::rename(unpacked, &place).with_context(|| place.display().to_string())
}
