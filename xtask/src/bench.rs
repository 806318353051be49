//! Runs the measurements, and draws their results.

use std::fs;
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use crate::build;
use crate::plots::{draw, text};
use crate::profile::Profile;
use crate::run::{root, run};

/// The folder of the results.
const FOLDER: &str = "target/bench/results";

/// Builds everything in the optimized profile, measures, and draws. `args` are passed on.
pub fn measure_and_draw(args: &[String]) -> Result<()> {
    build::for_bench()?;
    let begun = SystemTime::now();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    run(&text(&Profile::Release.program("bench")), &args)?;
    let folder = root().join(FOLDER);
    let mut results = Vec::new();
    // `bench --help` writes none.
    for entry in fs::read_dir(&folder).into_iter().flatten() {
        let entry = entry.context(FOLDER)?;
        let path = entry.path();
        let is_of_this_run = entry.metadata()?.modified()? >= begun;
        if is_of_this_run && path.extension().is_some_and(|extension| extension == "json") {
            results.push(text(&path));
        }
    }
    if !results.is_empty() {
        results.sort();
        draw("bench.py", &results.iter().map(String::as_str).collect::<Vec<_>>())?;
    }
    Ok(printing::result(format_args!("Tables, JSON and images: {FOLDER}"))?)
}
