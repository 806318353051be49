//! Chromium without a window, for tests of pages.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::debian::unpack_all;
use crate::home::install;
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
        let program = install(NAME, program, |home| unpack_all(NAME, NEEDED, home))?;
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
