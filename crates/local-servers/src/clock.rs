//! A wall clock that jumps, for child processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use crate::home::{install, run};
use crate::wheel::unpack;

/// The wheel that carries the sources of libfaketime.
const WHEEL: &str = "libfaketime==3.0.1";

/// The compiled library; named anew when the wheel or our source changes.
const LIBRARY: &str = "libclock-3.0.1-1.so";

const NEEDED: &str = "Python 3 with pip and a C compiler (cc) are needed";

/// What is compiled: it includes those sources.
const SOURCE: &str = include_str!("clock/clock.c");

/// The wall clock of the processes that are started with [`FakeClock::envs`].
///
/// Those processes, and their children, read it through a library that is loaded into them: it
/// works for programs that are linked dynamically to glibc 2.28 or newer. Reading the wall clock
/// becomes slow (microseconds). The monotonic clock is the true one, and waits keep their true
/// length, also those under way at a jump. When this is dropped, the processes' clocks are true
/// again.
#[derive(Debug)]
pub struct FakeClock {
    library: PathBuf,
    dir: TempDir,
}

impl FakeClock {
    /// A clock that is right yet. Installs the library if need be, which blocks for seconds and
    /// needs Python with pip and a C compiler.
    pub fn new() -> Result<Self> {
        let library = install("faketime", |home| home.join("faketime").join(LIBRARY), build)?;
        // The loader splits its list at these and knows no quotes.
        ensure!(
            !library.to_string_lossy().contains([' ', ':']),
            "{}: such a path cannot be loaded; choose a home without spaces and colons",
            library.display()
        );
        let clock = Self { library, dir: TempDir::with_prefix("clock-")? };
        clock.jump(0)?;
        Ok(clock)
    }

    /// The environment of a process that is to have this clock. `LD_PRELOAD` replaces one that it
    /// would inherit.
    pub fn envs(&self) -> Vec<(String, String)> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("FAKETIME_TIMESTAMP_FILE", text(&self.file())),
            // Else a jump is seen up to ten seconds late.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// Sets the clock to the true time and `seconds` more, or less if negative, from now on; it
    /// goes on at its true pace. 0 puts it right.
    pub fn jump(&self, seconds: i64) -> Result<()> {
        // Renamed: a process reads the old file or the new one, never half of it.
        let new = self.dir.path().join("new");
        fs::write(&new, format!("{seconds:+}\n"))
            .and_then(|()| fs::rename(&new, self.file()))
            .with_context(|| format!("cannot set the clock of {}", self.file().display()))
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }
}

/// Compiles the library from the wheel's sources and ours.
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
    // Renamed at the end: a library half written is never taken for whole.
    fs::rename(built, folder.join(LIBRARY)).context("cannot finish the installation")
}
