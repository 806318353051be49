//! Packs the Spin plugin: a tarball and the manifest that `spin plugins install --file` reads.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::run::{cargo, release, root, run};

/// The plugin's name, and that of the executable in it, as Spin wants it for `[[trigger.kafka]]`.
const NAME: &str = "trigger-kafka";

/// The Spin that understands the components: WASI 0.3.0.
const SPIN: &str = ">=4.1";

/// Writes `target/plugin/trigger-kafka.json` and the tarball beside it. The manifest names the
/// tarball as a file, or below `url` where it will be published.
pub fn pack(args: &[String]) -> Result<()> {
    let url = match args {
        [] => None,
        [flag, url] if flag == "--url" => Some(url.trim_end_matches('/')),
        _ => bail!("plugin takes [--url URL], the folder that the tarball is served from"),
    };
    cargo(&["build", "--release", "--bins"])?;
    let out = root().join("target/plugin");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let (os, arch) = platform()?;
    let version = env!("CARGO_PKG_VERSION");
    let file = format!("{NAME}-{version}-{os}-{arch}.tar.gz");
    let tarball = tarball(&stripped(&out)?)?;
    write(&out.join(&file), &tarball)?;
    let url = match url {
        Some(base) => format!("{base}/{file}"),
        None => format!("file://{}", out.join(&file).display()),
    };
    let manifest = json!({
        "name": NAME,
        "description": "Kafka trigger: calls a component with batches of records",
        "version": version,
        "spinCompatibility": SPIN,
        "license": env!("CARGO_PKG_LICENSE"),
        "packages": [{
            "os": os,
            "arch": arch,
            "url": url,
            "sha256": format!("{:x}", Sha256::digest(&tarball)),
        }],
    });
    let manifest_path = out.join(format!("{NAME}.json"));
    write(&manifest_path, format!("{manifest:#}\n").as_bytes())?;
    println!("spin plugins install --file {} --yes", manifest_path.display());
    Ok(())
}

/// Spin's names for this machine.
fn platform() -> Result<(&'static str, &'static str)> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "aarch64",
        other => bail!("Spin has no name for the architecture {other}"),
    };
    Ok((std::env::consts::OS, arch))
}

/// The executable without what only a debugger reads, nine tenths of it.
fn stripped(out: &Path) -> Result<PathBuf> {
    let stripped = out.join(NAME);
    let (from, to) = (release(NAME), stripped.to_string_lossy().into_owned());
    run("strip", &["-S", "-o", &to, &from.to_string_lossy()])?;
    Ok(stripped)
}

/// The executable alone, at the root: the same bytes for the same executable.
fn tarball(executable: &Path) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    let content = fs::read(executable).with_context(|| executable.display().to_string())?;
    header.set_size(content.len().try_into()?);
    header.set_mode(0o755);
    header.set_mtime(0);
    let zip = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
    let mut tar = tar::Builder::new(zip);
    tar.append_data(&mut header, NAME, content.as_slice())?;
    Ok(tar.into_inner()?.finish()?)
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    fs::write(path, content).with_context(|| path.display().to_string())
}
