//! Chromium without a window, for tests of pages.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::home::{install, run};
use child_server::on_path;

/// The name of Debian's package and of its program.
const NAME: &str = "chromium-headless-shell";

const NEEDED: &str = "chromium-headless-shell is needed on the PATH, or Debian's apt-get and \
                      dpkg-deb";

/// An installed Chromium.
pub struct Chromium {
    program: PathBuf,
    /// The folders of libraries that this system does not have.
    libraries: OsString,
}

impl Chromium {
    /// Finds Chromium on the PATH, or installs Debian's package with its libraries.
    pub fn find() -> Result<Self> {
        if let Some(folder) = on_path(&[NAME]) {
            return Ok(Self { program: folder.join(NAME), libraries: OsString::new() });
        }
        let program = |home: &Path| home.join(NAME).join("usr/lib/chromium").join(NAME);
        let program = install(NAME, program, unpack)?;
        let lib = program.ancestors().nth(2).unwrap_or(Path::new("/usr/lib"));
        let lib = lib.join(format!("{}-linux-gnu", std::env::consts::ARCH));
        let libraries = std::env::join_paths([lib.join("pulseaudio"), lib])?;
        Ok(Self { program, libraries })
    }

    /// The command that runs Chromium with its libraries.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

/// Downloads the package and those of its dependencies that this system does not have, and unpacks
/// all of them into one folder. They are not installed: none of their scripts runs.
fn unpack(home: &Path) -> Result<()> {
    let folder = TempDir::with_prefix_in("unpacking-", home)?;
    // The lists of packages may be outdated, or missing as in many images. Outdated lists name old
    // versions that can no longer be downloaded.
    run(Command::new("apt-get").args(["--quiet", "update"]), NEEDED)?;
    let mut plan = Command::new("apt-get");
    plan.args(["--quiet", "--simulate", "--no-install-recommends", "install", NAME]);
    let plan = run(&mut plan, NEEDED)?;
    let missing = plan.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    let missing: Vec<&str> = missing.collect();
    ensure!(!missing.is_empty(), "{NAME} is installed, but not on the PATH");
    let mut download = Command::new("apt-get");
    run(download.args(["--quiet", "download"]).args(missing).current_dir(&folder), NEEDED)?;
    let unpacked = folder.path().join("unpacked");
    for package in fs::read_dir(&folder)? {
        let package = package?.path();
        if package.extension().is_some_and(|extension| extension == "deb") {
            run(Command::new("dpkg-deb").arg("--extract").arg(package).arg(&unpacked), NEEDED)?;
        }
    }
    fs::rename(unpacked, home.join(NAME))?;
    Ok(())
}
