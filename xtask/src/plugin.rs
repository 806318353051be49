//! Packs the Spin plugins: for each an archive, and the manifest for `spin plugins install --file`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::pack::{Archive, gzip, read, sha256, stripped, write};
use crate::profile::Profile;
use crate::run::{cargo, root};

/// The executable.
const PROGRAM: &str = "trigger-kafka";

/// The plugins and their descriptions. Spin derives the name of a plugin and of its executable from
/// the type of the trigger. The executable is the same: its name selects the type.
const PLUGINS: [(&str, &str); 2] = [
    ("trigger-kafka", "Kafka trigger: calls a component with batches of records"),
    ("trigger-amqp", "AMQP trigger: calls a component with batches of messages"),
];

/// The Spin versions that support the components: they need WASI 0.3.0.
const SPIN: &str = ">=4.1";

/// Writes `target/plugin/NAME.json` and the archive beside it for each plugin. The manifest refers to
/// the archive by its path, or by `url` if it will be published there.
pub fn build(args: &[String]) -> Result<()> {
    let url = match args {
        [] => None,
        [flag, url] if flag == "--url" => Some(url.trim_end_matches('/')),
        _ => bail!("plugin takes [--url URL], the folder that the tarball is served from"),
    };
    cargo(&Profile::Release.native(&["build"], &["--bin", PROGRAM]))?;
    pack(Profile::Release, url)
}

/// Packs the plugins, whose executable was built.
pub fn pack(profile: Profile, url: Option<&str>) -> Result<()> {
    let out = root().join("target/plugin");
    fs::create_dir_all(&out).with_context(|| out.display().to_string())?;
    let program = read(&stripped(profile, PROGRAM, &out)?)?;
    for (name, description) in PLUGINS {
        pack_one(name, description, &program, &out, url)?;
    }
    Ok(())
}

fn pack_one(
    name: &str,
    description: &str,
    program: &[u8],
    out: &Path,
    url: Option<&str>,
) -> Result<()> {
    let (os, arch) = platform()?;
    let version = env!("CARGO_PKG_VERSION");
    let file = format!("{name}-{version}-{os}-{arch}.tar.gz");
    let mut archive = Archive::new();
    archive.file(name, 0o755, program)?;
    let tarball = gzip(&archive.finish()?)?;
    write(&out.join(&file), &tarball)?;
    let url = match url {
        Some(base) => format!("{base}/{file}"),
        None => format!("file://{}", out.join(&file).display()),
    };
    let manifest = json!({
        "name": name,
        "description": description,
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
    let manifest_path = out.join(format!("{name}.json"));
    write(&manifest_path, format!("{manifest:#}\n").as_bytes())?;
    // Spin does not replace an installed plugin of the same version, but fails.
    printing::result(format_args!("spin plugins uninstall {name}   # if it is installed"))?;
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
