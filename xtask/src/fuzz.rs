//! Fuzzes the decoders of external input: `tests/fuzz`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{cargo, root};

/// Default duration for each target, in seconds.
const SECONDS: &str = "20";

/// The package with the targets.
const FOLDER: &str = "tests/fuzz";

/// The build folder, in which inputs that were found are also stored.
const BUILT: &str = "target/fuzz";

/// Maximum time for one input, in seconds, and maximum memory, in MiB.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// Builds the targets and runs all of them, or the given one, starting with the inputs in the
/// repository. Stops at the first failure.
pub fn run(args: &[String]) -> Result<()> {
    let (seconds, rest) = match args {
        [flag, seconds, rest @ ..] if flag == "--seconds" => (seconds.as_str(), rest),
        rest => (SECONDS, rest),
    };
    let known = targets()?;
    let targets = match rest {
        [] => known,
        [target] if known.contains(target) => vec![target.clone()],
        _ => bail!("fuzz takes [--seconds N] [TARGET]; the targets are {}", known.join(", ")),
    };
    ensure!(seconds.parse::<u32>().is_ok(), "`{seconds}` is not a number of seconds");
    cargo(&cargo_fuzz("build", &[]))?;
    targets.iter().try_for_each(|target| fuzz(target, seconds))
}

fn fuzz(target: &str, seconds: &str) -> Result<()> {
    let found = root().join(BUILT).join("corpus").join(target);
    fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let (found, kept) = (found.to_string_lossy(), corpus().join(target));
    let (kept, time) = (kept.to_string_lossy(), format!("-max_total_time={seconds}"));
    // New inputs are stored in the first folder.
    let options = [target, &*found, &*kept, "--", &time, "-print_final_stats=1"];
    cargo(&cargo_fuzz("run", &[&options[..], &LIMITS].concat()))
}

/// Without sanitizers: they need an unstable compiler, and the project has no unsafe code except
/// calls of librdkafka.
fn cargo_fuzz<'a>(command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let common = ["--sanitizer", "none", "--fuzz-dir", FOLDER, "--target-dir", BUILT];
    [&["fuzz", command], &common[..], rest].concat()
}

/// The names of the targets. Each has a folder with its inputs.
fn targets() -> Result<Vec<String>> {
    let read = |folder: &Path| -> std::io::Result<Vec<String>> {
        let entries = fs::read_dir(folder)?;
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    };
    let mut targets = read(&corpus()).with_context(|| corpus().display().to_string())?;
    targets.sort();
    Ok(targets)
}

fn corpus() -> PathBuf {
    root().join(FOLDER).join("corpus")
}
