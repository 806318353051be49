//! Fuzzes the decoders of bytes from outside: `tests/fuzz`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{cargo, root};

/// Seconds for each target.
const SECONDS: &str = "20";

/// The package of the targets.
const FOLDER: &str = "tests/fuzz";

/// Where it is built, and where inputs are kept that are found.
const BUILT: &str = "target/fuzz";

/// Time that one input may take, in seconds, and memory, in MiB.
const LIMITS: [&str; 2] = ["-timeout=10", "-rss_limit_mb=2048"];

/// Builds the targets and runs each of them, or the one that is named, beginning with the inputs
/// that are kept. Ends with the first that fails.
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
    ensure!(seconds.parse::<u32>().is_ok(), "`{seconds}` is no number of seconds");
    cargo(&cargo_fuzz("build", &[]))?;
    targets.iter().try_for_each(|target| fuzz(target, seconds))
}

fn fuzz(target: &str, seconds: &str) -> Result<()> {
    let found = root().join(BUILT).join("corpus").join(target);
    fs::create_dir_all(&found).with_context(|| found.display().to_string())?;
    let (found, kept) = (found.to_string_lossy(), corpus().join(target));
    let (kept, time) = (kept.to_string_lossy(), format!("-max_total_time={seconds}"));
    // New inputs go into the first folder.
    let options = [target, &*found, &*kept, "--", &time, "-print_final_stats=1"];
    cargo(&cargo_fuzz("run", &[&options[..], &LIMITS].concat()))
}

/// The sanitizers need an unstable compiler, and the project has no unsafe code but for calls of
/// librdkafka.
fn cargo_fuzz<'a>(command: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    let common = ["--sanitizer", "none", "--fuzz-dir", FOLDER, "--target-dir", BUILT];
    [&["fuzz", command], &common[..], rest].concat()
}

/// Each target has a folder with the inputs that are kept.
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
