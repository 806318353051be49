//! Builds the containerd shim and packs it for the nodes.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::count::{self, Count};
use crate::pack::{Archive, architecture, gzip, read, sha256, stripped, write};
use crate::run::{cargo_with, root, run};

const PACKAGE: &str = "containerd-shim-doorbuster";

/// The executable: containerd makes this name of `io.containerd.doorbuster.v1`.
const NAME: &str = "containerd-shim-doorbuster-v1";

const NEEDED: &str = "apt-get install libseccomp-dev protobuf-compiler";

/// Writes `target/shim/<NAME>-linux-<arch>.tar.gz` and says its SHA-256, for the resource `Shim`.
pub fn pack() -> Result<()> {
    build()?;
    let out = root().join("target/shim");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut archive = Archive::new();
    archive.file(NAME, 0o755, &read(&stripped(NAME, &out)?)?)?;
    let tarball = gzip(&archive.finish()?)?;
    let path = out.join(format!("{NAME}-linux-{}.tar.gz", architecture()?));
    write(&path, &tarball)?;
    println!("{}  {}", sha256(&tarball), path.display());
    Ok(())
}

/// Builds it together with all that is built by default, so that the libraries are the same.
fn build() -> Result<()> {
    cargo_with(&selected(&["build", "--release", "--bins"], &[])?, &environment()?)
}

/// Lints it.
pub fn lint() -> Result<()> {
    let args = selected(&["clippy", "--release", "--all-targets"], &["--", "--deny", "warnings"])?;
    cargo_with(&args, &environment()?)
}

/// Runs its own tests and the test programs that are `named`; `args` go to them.
pub fn test(named: &[&str], args: &[&str]) -> Result<Count> {
    let tests = [&["test", "--release", "--no-fail-fast", "--bin", NAME], named].concat();
    count::cargo_test(&selected(&tests, &[&["--"], args].concat())?, &environment()?)
}

/// `args… --package P… rest…`, on the default packages and the shim.
fn selected(args: &[&str], rest: &[&str]) -> Result<Vec<String>> {
    let packages = default_packages()?.into_iter().chain([PACKAGE.to_owned()]);
    let packages = packages.flat_map(|package| ["--package".to_owned(), package]);
    let [args, rest] = [args, rest].map(|words| words.iter().map(|word| (*word).to_owned()));
    Ok(args.chain(packages).chain(rest).collect())
}

/// Has libseccomp linked into the shim: a node then needs nothing but the executable.
fn environment() -> Result<Vec<(&'static str, String)>> {
    run("protoc", &["--version"]).context(NEEDED)?;
    let output = Command::new("cc").arg("-print-file-name=libseccomp.a").output();
    let library = String::from_utf8(output.context("cannot run cc")?.stdout)?;
    // Only the name, if there is none.
    let folder = Path::new(library.trim()).parent().filter(|folder| folder.is_absolute());
    let folder = folder.with_context(|| format!("there is no libseccomp.a: {NEEDED}"))?;
    let folder = folder.canonicalize()?.display().to_string();
    Ok(vec![("LIBSECCOMP_LINK_TYPE", "static".into()), ("LIBSECCOMP_LIB_PATH", folder)])
}

/// The names of the packages that are built where none is named.
fn default_packages() -> Result<Vec<String>> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let all = |key: &str| metadata.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    let default = all("workspace_default_members");
    let packages = all("packages")
        .into_iter()
        .filter(|package| package.get("id").is_some_and(|id| default.contains(id)));
    let name = |package: Value| Some(package.get("name")?.as_str()?.to_owned());
    Ok(packages.filter_map(name).collect())
}
