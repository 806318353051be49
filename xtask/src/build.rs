//! Builds programs and components.

use std::fs;

use anyhow::{Context as _, Result};

use crate::profile::Profile;
use crate::run::{cargo, root, run};

/// The packages of the components that the manifests use. Their files have underscores in the name.
const COMPONENTS: &[&str] = &[
    "ingest",
    "event-ingest",
    "bridge",
    "writer",
    "aggregator",
    "dashboard",
    "valkey",
    "kafka-producer",
    "http-client",
    "intake-http",
    "intake-grpc",
    "weather",
    "windows",
    "fold",
    "state",
    "jwt",
    "rate-limit",
    "retry",
    "balance",
    "breaker",
    "cache",
    "analytics",
    "tasks",
    "task-worker",
    "reports",
    "university",
];

/// The components that only tests use, and the examples, which the tests run.
const TEST_GUESTS: &[&str] = &[
    "calls-dependency",
    "calls-valkey",
    "changes-on-command",
    "copies-records",
    "counts-words",
    "wasi-p3-rc",
    "probes-capabilities",
    "fails-on-command",
    "wasi-p2",
    "exports-both",
    "forwards-orders",
    "forwards-requests",
    "marks-requests",
    "misbehaves",
    "older-events",
    "order-lines",
    "reads-files",
    "receives-sdk-5",
    "receives-sdk-6",
    "sends-requests",
    "sync-events",
    "top-products",
    "uses-sdk-5",
    "uses-sdk-6",
    "uses-stores",
    "variables-from-environment",
    "word-count",
];

/// Those of them that also run in a real Spin.
const SPIN_GUESTS: &[&str] =
    &["reads-files", "receives-sdk-5", "receives-sdk-6", "uses-sdk-5", "uses-sdk-6", "uses-stores"];

/// The compositions that the manifests use: the names of their documents in `components`, and of
/// their files.
const COMPOSITIONS: [(&str, &str); 5] = [
    ("pipeline.wac", "pipeline.wasm"),
    ("ingest-http.wac", "ingest_http.wasm"),
    ("bridge-grpc.wac", "bridge_grpc.wasm"),
    ("tasks.wac", "tasks_with_producer.wasm"),
    ("analytics.wac", "analytics_with_producer.wasm"),
];

/// The components that only measurements use.
const BENCH_GUESTS: &[&str] = &["hello", "hello-whole"];

/// Crates that the components share. Most of them compile only for the target of the components.
const SHARED_BY_COMPONENTS: &[&str] = &[
    "guest-http",
    "guest-http-send",
    "guest-kafka",
    "guest-task-store",
    "guest-tasks",
    "guest-tcp",
    "guest-valkey",
    "spin-kafka-sdk",
];

const WASM_TARGET: &str = "wasm32-wasip2";

/// Builds the program `doorbuster`, the other given programs, and the components in
/// `target/components/*.wasm`, including the compositions.
pub fn pipeline(profile: Profile, programs: &[&str]) -> Result<()> {
    components(profile, COMPONENTS)?;
    let mut targets = vec!["--bin", "doorbuster"];
    targets.extend(programs.iter().flat_map(|name| ["--bin", name]));
    cargo(&profile.native(&["build"], &targets))?;
    compose(profile)
}

/// Builds everything that the checks with a real Spin need.
pub fn for_spin(profile: Profile) -> Result<()> {
    components(profile, SPIN_GUESTS)?;
    pipeline(profile, &["real-spin"])
}

/// Builds everything that the measurements need, in the optimized profile.
pub fn for_bench() -> Result<()> {
    components(Profile::Release, BENCH_GUESTS)?;
    pipeline(Profile::Release, &["bench", "native-bench", "instantiation-bench"])?;
    compose_one(Profile::Release, "bench/without-bridge.wac", "without_bridge.wasm")
}

/// Builds everything that the tests need: all programs, all components, and the test programs.
pub fn for_tests() -> Result<()> {
    components(Profile::Dev, &[COMPONENTS, TEST_GUESTS].concat())?;
    cargo(&Profile::Dev.native(&["build"], &["--bins", "--tests"]))?;
    compose(Profile::Dev)
}

/// Lints the components and the crates that they share.
pub fn lint_components() -> Result<()> {
    let packages = [COMPONENTS, TEST_GUESTS, BENCH_GUESTS, SHARED_BY_COMPONENTS].concat();
    cargo_for_wasm("clippy", Profile::Dev, &packages, &["--", "--deny", "warnings"])
}

fn cargo_for_wasm(command: &str, profile: Profile, packages: &[&str], rest: &[&str]) -> Result<()> {
    add_target()?;
    let (name, _) = profile.components();
    let mut args = vec![command, "--profile", name, "--target", WASM_TARGET];
    args.extend(packages.iter().flat_map(|package| ["--package", package]));
    args.extend(rest);
    cargo(&args)
}

/// Builds components, and copies them to the paths in the manifests.
fn components(profile: Profile, packages: &[&str]) -> Result<()> {
    cargo_for_wasm("build", profile, packages, &[])?;
    let (_, folder) = profile.components();
    let built = root().join("target").join(WASM_TARGET).join(folder);
    let out = root().join("target/components");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    for package in packages {
        let file = format!("{}.wasm", package.replace('-', "_"));
        let (from, to) = (built.join(&file), out.join(&file));
        fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// rust-toolchain.toml contains the target, but rustup may be configured not to install it
/// automatically.
fn add_target() -> Result<()> {
    run("rustup", &["target", "add", WASM_TARGET])
}

/// Composes components as their documents say.
fn compose(profile: Profile) -> Result<()> {
    for (document, file) in COMPOSITIONS {
        compose_one(profile, &format!("components/{document}"), file)?;
    }
    Ok(())
}

fn compose_one(profile: Profile, document: &str, file: &str) -> Result<()> {
    let program = profile.program("doorbuster");
    let output = format!("target/components/{file}");
    let components = ["--components", "target/components"];
    let args = [&["compose", document][..], &components, &["--output", &output]].concat();
    run(&program.to_string_lossy(), &args)
}
