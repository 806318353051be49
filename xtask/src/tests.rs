//! Runs the checks and the tests.

use std::thread::available_parallelism;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::count::{self, Count};
use crate::packages::{self, Packages};
use crate::profile::Profile;
use crate::run::{cargo, cargo_with, output};
use crate::{build, families, image, interfaces, plugin, shim};

/// Runs the unit tests, then builds the programs and components for the other tests, and runs
/// these. `args` are passed to the test programs.
pub fn all(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut count = test(&["--lib", "--bins"], &args, &[])?;
    count += examples(&args)?;
    count.require_success()?;
    build::for_tests()?;
    plugin::pack(Profile::Dev, None)?;
    let programs = Packages::read()?.test_programs();
    let programs: Vec<&str> = programs.iter().flat_map(|name| ["--test", name]).collect();
    count += repeating(&programs, &args, threads()?)?;
    count.judge()
}

/// How many tests with servers run at the same time. Half of the time they wait for a server.
fn threads() -> Result<usize> {
    Ok(2 * available_parallelism()?.get())
}

/// Runs tests with servers, and repeats those that fail one at a time, with the same random faults.
fn repeating(targets: &[&str], args: &[&str], threads: usize) -> Result<Count> {
    let seed = std::env::var(SEED).map_or_else(|_| new_seed(), Ok)?;
    let run = |args: &[&str], threads: usize| {
        let threads = ("RUST_TEST_THREADS", threads.to_string());
        test(targets, args, &[threads, (SEED, seed.clone())])
    };
    run(args, threads)?.repeat_failed(|names| run(&[&["--exact"], names].concat(), 1))
}

/// The variable for the seed of random faults in tests.
const SEED: &str = "CHAOS_SEED";

fn new_seed() -> Result<String> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(time.subsec_nanos().to_string())
}

fn test(targets: &[&str], args: &[&str], variables: &[(&str, String)]) -> Result<Count> {
    let rest = [targets, &["--"], args].concat();
    count::cargo_test(&Profile::Dev.native(&["test", "--no-fail-fast"], &rest), variables)
}

/// Runs the examples in the documentation, in the same selection of packages as the other tests, so
/// that nothing is compiled again.
fn examples(args: &[&str]) -> Result<Count> {
    test(&["--doc"], args, &[])
}

/// Runs the shim's tests, and those of shim and image with a real containerd. `args` are passed to
/// them.
pub fn containers(args: &[String]) -> Result<()> {
    build::for_tests()?;
    image::pack(Profile::Dev, Some("spin.toml"))?;
    shim::build(Profile::Dev)?;
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let run = |args: &[&str]| shim::test(&["--test", "containers"], args);
    run(&args)?.repeat_failed(|names| run(&[&["--exact"], names].concat()))?.judge()
}

/// Writes the lists in `docs/reference/settings.md`, by the test that compares them with the code.
pub fn write_settings() -> Result<()> {
    let test = ["--bin", "doorbuster", "--", "the_page_contains_all_settings_and_flags"];
    let args = Profile::Dev.native(&["test"], &test);
    let args: Vec<String> = args.into_iter().map(Into::into).collect();
    cargo_with(&args, &[("DOORBUSTER_WRITE_SETTINGS", "1".into())])
}

/// Checks the format, the dependencies, the packages to publish and the lints.
pub fn lint() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    families::check()?;
    interfaces::check()?;
    packages::check_tests_run()?;
    cargo(&["deny", "check", "bans", "licenses", "sources"])?;
    clippy(&["--all-targets"])?;
    clippy(&["--test", "containers"])?;
    clippy_without_features(&["spin-kafka-client", "spin-kafka-trigger"])?;
    shim::lint()?;
    build::lint_components()?;
    packages::check_published()
}

/// Checks the dependencies for known vulnerabilities. Not a part of `lint`, because it downloads
/// the advisories.
pub fn audit() -> Result<()> {
    cargo(&["deny", "check", "advisories"])
}

/// Checks libraries that users may build without their default features. Nothing is linked, so
/// librdkafka is not compiled again with fewer features.
fn clippy_without_features(packages: &[&str]) -> Result<()> {
    let host = output("rustc", &["--print", "host-tuple"])?;
    let built = format!("target.{}.rdkafka.rustc-link-lib=['rdkafka']", host.trim());
    let mut args = vec!["clippy", "--config", &built, "--no-default-features"];
    args.extend(packages.iter().flat_map(|package| ["--package", *package]));
    args.extend(["--", "--deny", "warnings"]);
    cargo(&args)
}

fn clippy(targets: &[&str]) -> Result<()> {
    let rest = [targets, &["--", "--deny", "warnings"]].concat();
    cargo(&Profile::Dev.native(&["clippy"], &rest))
}
