//! Programs of Debian's packages.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::home::{install, run};

/// A package of Debian.
pub struct Package {
    pub name: &'static str,
    /// Where its programs are in it.
    pub folder: &'static str,
    /// Those that are needed.
    pub programs: &'static [&'static str],
}

impl Package {
    /// The folder with the programs: one on the PATH, else that of the package.
    pub fn find(&self) -> Result<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let has_all =
            |folder: &PathBuf| self.programs.iter().all(|name| folder.join(name).is_file());
        if let Some(found) = std::env::split_paths(&path).find(has_all) {
            return Ok(found);
        }
        install(self.name, |home| home.join(self.name).join(self.folder), |home| self.unpack(home))
    }

    /// Downloads it and unpacks it into a folder of `home`. It is not installed: none of its
    /// scripts runs, nothing is started.
    fn unpack(&self, home: &Path) -> Result<()> {
        let name = self.name;
        let needed = format!("{name} is needed on the PATH, or Debian's apt-get and dpkg-deb");
        let folder = TempDir::with_prefix_in("unpacking-", home)?;
        let mut download = std::process::Command::new("apt-get");
        download.args(["--quiet", "download", self.name]).current_dir(&folder);
        if run(&mut download, &needed).is_err() {
            // The lists of packages may be old, or missing as in many images.
            run(std::process::Command::new("apt-get").args(["--quiet", "update"]), &needed)?;
            run(&mut download, &needed)?;
        }
        let package =
            std::fs::read_dir(&folder)?.next().context("apt-get downloaded nothing")??;
        let unpacked = folder.path().join(self.name);
        let mut extract = std::process::Command::new("dpkg-deb");
        run(extract.arg("--extract").arg(package.path()).arg(&unpacked), &needed)?;
        let place = home.join(self.name);
        std::fs::rename(unpacked, &place).with_context(|| place.display().to_string())
    }
}
