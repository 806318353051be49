//! Builds the program and the components.

use std::fs;

use anyhow::{Context as _, Result};

use crate::run::{cargo, release, root, run};

/// The components, as packages, and the guests that the tests call. Their files take underscores.
const COMPONENTS: [&str; 13] = [
    "ingest",
    "bridge",
    "writer",
    "aggregator",
    "valkey",
    "kafka-producer",
    "intake-http",
    "intake-grpc",
    "asker",
    "curious",
    "fragile",
    "older",
    "wicked",
];

const WASM_TARGET: &str = "wasm32-wasip2";

/// `target/release/doorbuster`, `target/components/*.wasm` and the fused pipeline; with `tests`,
/// the test programs too, in the same build.
pub fn all(tests: bool) -> Result<()> {
    components()?;
    let mut args = vec!["build", "--release", "--bins"];
    args.extend(tests.then_some("--tests"));
    cargo(&args)?;
    fused()
}

/// Lints the components and what they share.
pub fn lint_components() -> Result<()> {
    let shared = ["guest-http", "guest-tasks", "guest-tcp", "sales-wit"]
        .map(|name| ["--package", name])
        .concat();
    cargo_on_components("clippy", &[&shared[..], &["--", "--deny", "warnings"]].concat())
}

fn cargo_on_components(command: &str, rest: &[&str]) -> Result<()> {
    let mut args = vec![command, "--profile", "wasm", "--target", WASM_TARGET];
    args.extend(COMPONENTS.iter().flat_map(|component| ["--package", component]));
    args.extend(rest);
    cargo(&args)
}

fn components() -> Result<()> {
    add_target()?;
    cargo_on_components("build", &[])?;
    let built = root().join("target").join(WASM_TARGET).join("wasm");
    let out = root().join("target/components");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    for component in COMPONENTS {
        let file = format!("{}.wasm", component.replace('-', "_"));
        let (from, to) = (built.join(&file), out.join(&file));
        fs::copy(&from, &to)
            .with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    }
    Ok(())
}

/// rust-toolchain.toml names the target, but rustup may be told not to install by itself.
fn add_target() -> Result<()> {
    run("rustup", &["target", "add", WASM_TARGET])
}

fn fused() -> Result<()> {
    let doorbuster = release("doorbuster");
    run(
        &doorbuster.to_string_lossy(),
        &[
            "compose",
            "components/pipeline.wac",
            "--components",
            "target/components",
            "--output",
            "target/components/pipeline.wasm",
        ],
    )
}
