//! Chromium without a window, as tests of pages run it.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::home::{install, on_path, run};

/// Debian's package and its program.
const NAME: &str = "chromium-headless-shell";

const NEEDED: &str = "chromium-headless-shell is needed on the PATH, or Debian's apt-get and \
                      dpkg-deb";

/// An installed Chromium.
pub struct Chromium {
    program: PathBuf,
    /// Folders of libraries that this system does not have.
    libraries: OsString,
}

impl Chromium {
    /// The one on the PATH, else Debian's, with what it needs.
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

    /// The program, with its libraries.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("LD_LIBRARY_PATH", &self.libraries);
        command
    }
}

/// Downloads the package and those that it needs and that this system does not have, and unpacks
/// them all into one folder. They are not installed: none of their scripts runs.
fn unpack(home: &Path) -> Result<()> {
    let folder = TempDir::with_prefix_in("unpacking-", home)?;
    // The lists of packages may be old, or missing as in many images: then older versions are
    // named, which are no longer there.
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
