//! Builds and packs the containerd shim.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::count::{self, Count};
use crate::pack::{Archive, architecture, gzip, read, sha256, stripped, write};
use crate::packages::Packages;
use crate::profile::Profile;
use crate::run::{cargo_command, cargo_with, output_of, root, run};

const PACKAGE: &str = "containerd-shim-doorbuster";

/// The name of the executable, which containerd derives from `io.containerd.doorbuster.v1`.
const NAME: &str = "containerd-shim-doorbuster-v1";

const NEEDED: &str = "apt-get install libseccomp-dev protobuf-compiler";

/// Writes `target/shim/<NAME>-linux-<arch>.tar.gz`, and prints its SHA-256 for the resource `Shim`.
pub fn build(profile: Profile) -> Result<()> {
    let args = selected(&["build"], profile, &["--bin", NAME])?;
    cargo_with(&args, &environment()?)?;
    let out = root().join("target/shim");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let mut archive = Archive::new();
    archive.file(NAME, 0o755, &read(&stripped(profile, NAME, &out)?)?)?;
    let tarball = gzip(&archive.finish()?)?;
    let path = out.join(format!("{NAME}-linux-{}.tar.gz", architecture()?));
    write(&path, &tarball)?;
    Ok(printing::result(format_args!("{}  {}", sha256(&tarball), path.display()))?)
}

/// Lints the shim.
pub fn lint() -> Result<()> {
    check_features()?;
    let rest = ["--all-targets", "--", "--deny", "warnings"];
    let args = selected(&["clippy"], Profile::Dev, &rest)?;
    cargo_with(&args, &environment()?)
}

/// Runs the shim's own tests and the test programs in `named`, with these arguments.
pub fn test(named: &[&str], args: &[&str]) -> Result<Count> {
    let rest = [&["--bin", NAME], named, &["--"], args].concat();
    let args = selected(&["test", "--no-fail-fast"], Profile::Dev, &rest)?;
    count::cargo_test(&args, &environment()?)
}

/// Selects the default packages together with the shim, so that they share the built dependencies.
fn selected(command: &[&str], profile: Profile, rest: &[&str]) -> Result<Vec<String>> {
    let packages = Packages::read()?.names();
    let mut args = profile.native(command, &[]);
    args.extend(
        packages.iter().map(String::as_str).chain([PACKAGE]).flat_map(|p| ["--package", p]),
    );
    args.extend(rest);
    Ok(args.into_iter().map(str::to_owned).collect())
}

/// Fails if the shim gives a library other features than the default packages do. Cargo would compile
/// it, and all that depends on it, a second time.
fn check_features() -> Result<()> {
    let with_shim = features(&selected(&["tree"], Profile::Dev, &[])?)?;
    let without = features(&Profile::Dev.native(&["tree"], &[]))?;
    let different: Vec<&str> = without.difference(&with_shim).map(String::as_str).collect();
    ensure!(
        different.is_empty(),
        "with the shim, these have more features than without it: {}; `cargo tree --package {PACKAGE} \
         --edges features --invert NAME` shows them; add them to tools/workspace-hack/Cargo.toml",
        different.join(", ")
    );
    Ok(())
}

/// The dependencies of the selected packages, each with its features.
fn features(tree: &[impl AsRef<OsStr>]) -> Result<BTreeSet<String>> {
    let format = ["--edges", "normal,build,dev", "--prefix", "none", "--format", "{p} [{f}]"];
    let lines = output_of(cargo_command().args(tree).args(format))?;
    // A dependency that was listed before has a star.
    Ok(lines.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect())
}

/// Links libseccomp statically into the shim, so that nodes need only the executable.
fn environment() -> Result<Vec<(&'static str, String)>> {
    run("protoc", &["--version"]).context(NEEDED)?;
    let output = Command::new("cc").arg("-print-file-name=libseccomp.a").output();
    let library = String::from_utf8(output.context("cannot run cc")?.stdout)?;
    // `cc` prints only the file name if there is no such library.
    let folder = Path::new(library.trim()).parent().filter(|folder| folder.is_absolute());
    let folder = folder.with_context(|| format!("there is no libseccomp.a: {NEEDED}"))?;
    let folder = folder.canonicalize()?.display().to_string();
    Ok(vec![("LIBSECCOMP_LINK_TYPE", "static".into()), ("LIBSECCOMP_LIB_PATH", folder)])
}
