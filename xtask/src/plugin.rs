//! Packs the Spin plugin: an archive, and the manifest for `spin plugins install --file`.

use std::fs;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::pack::{Archive, gzip, read, sha256, stripped, write};
use crate::profile::Profile;
use crate::run::{cargo, root};

/// The name of the plugin and of its executable, which Spin derives from `[[trigger.kafka]]`.
const NAME: &str = "trigger-kafka";

/// The Spin versions that support the components: they need WASI 0.3.0.
const SPIN: &str = ">=4.1";

/// Writes `target/plugin/trigger-kafka.json` and the archive beside it. The manifest refers to the
/// archive by its path, or by `url` if it will be published there.
pub fn build(args: &[String]) -> Result<()> {
    let url = match args {
        [] => None,
        [flag, url] if flag == "--url" => Some(url.trim_end_matches('/')),
        _ => bail!("plugin takes [--url URL], the folder that the tarball is served from"),
    };
    cargo(&Profile::Release.native(&["build"], &["--bin", NAME]))?;
    pack(Profile::Release, url)
}

/// Packs a plugin that was built.
pub fn pack(profile: Profile, url: Option<&str>) -> Result<()> {
    let out = root().join("target/plugin");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let (os, arch) = platform()?;
    let version = env!("CARGO_PKG_VERSION");
    let file = format!("{NAME}-{version}-{os}-{arch}.tar.gz");
    let mut archive = Archive::new();
    archive.file(NAME, 0o755, &read(&stripped(profile, NAME, &out)?)?)?;
    let tarball = gzip(&archive.finish()?)?;
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
            "sha256": sha256(&tarball),
        }],
    });
    let manifest_path = out.join(format!("{NAME}.json"));
    write(&manifest_path, format!("{manifest:#}\n").as_bytes())?;
    // Spin does not replace an installed plugin of the same version, but fails.
    printing::result(format_args!("spin plugins uninstall {NAME}   # if it is installed"))?;
    let command = format!("spin plugins install --file {} --yes", manifest_path.display());
    Ok(printing::result(command)?)
}

/// Spin's names for the operating system and the architecture of this machine.
fn platform() -> Result<(&'static str, &'static str)> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "aarch64",
        other => bail!("Spin has no name for the architecture {other}"),
    };
    Ok((std::env::consts::OS, arch))
}
