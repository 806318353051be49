//! A wall clock for child processes that can jump.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::home::{install, run};
use crate::wheel::unpack;

/// The wheel that contains the sources of libfaketime.
const WHEEL: &str = "libfaketime==3.0.1";

/// The file name of the compiled library. Change it when the wheel or this project's source
/// changes.
const LIBRARY: &str = "libclock-3.0.1-1.so";

const NEEDED: &str = "Python 3 with pip and a C compiler (cc) are needed";

/// The source that is compiled. It includes libfaketime's sources.
const SOURCE: &str = include_str!("clock/clock.c");

/// The wall clock of the processes that are started with [`FakeClock::envs`].
///
/// Those processes and their children read it through a preloaded library, which works for programs
/// that are linked dynamically to glibc 2.28 or newer. Reading the wall clock becomes slow
/// (microseconds). The monotonic clock is not affected, and neither is the duration of waits,
/// including those in progress at a jump. When this is dropped, the processes read the true time
/// again.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    dir: TempDir,
}

impl FakeClock {
    /// Creates a clock with the true time. Installs the library if it is missing, which blocks for
    /// seconds and requires Python with pip, and a C compiler.
    pub fn new() -> Result<Self> {
        let library = install("faketime", |home| home.join("faketime").join(LIBRARY), build)?;
        // The loader splits its list at these characters and supports no quotes.
        ensure!(
            !library.to_string_lossy().contains([' ', ':']),
            "{}: such a path cannot be loaded; choose a home without spaces and colons",
            library.display()
        );
        let clock = Self { library, dir: TempDir::with_prefix("clock-")? };
        clock.jump(0)?;
        Ok(clock)
    }

    /// The environment variables for a process with this clock. `LD_PRELOAD` replaces an inherited
    /// value.
    pub fn envs(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.file())),
            // Without this, a jump would take effect up to ten seconds late.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Sets the clock to the true time plus `seconds`, which may be negative. It continues from
    /// there at the normal rate. 0 restores the true time.
    pub fn jump(&self, seconds: i64) -> Result<()> {
        // The file is replaced by renaming, so that a process never reads an incomplete one.
        let new = self.dir.path().join("new");
        fs::write(&new, format!("{seconds:+}\n"))
            .and_then(|()| fs::rename(&new, self.file()))
            .with_context(|| format!("cannot set the clock of {}", self.file().display()))
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }
}

/// Compiles the library from the sources of the wheel and of this project.
fn build(home: &Path) -> Result<()> {
    unpack(home, WHEEL, "faketime", NEEDED)?;
    let folder = home.join("faketime");
    let (source, built) = (folder.join("clock.c"), folder.join("building.so"));
    fs::write(&source, SOURCE)?;
    let mut compiler = Command::new("cc");
    compiler
        .args(["-std=gnu99", "-O2", "-w", "-fPIC", "-shared", "-pthread", "-I"])
        .arg(folder.join("libfaketime/vendor/libfaketime/src"))
        .arg("-o")
        .args([&built, &source])
        .args(["-ldl", "-lm", "-lrt"]);
    run(&mut compiler, NEEDED)?;
    // The library is renamed at the end, so that an incomplete one is never used.
    fs::rename(built, folder.join(LIBRARY)).context("cannot finish the installation")
}
