//! Builds the container image without a daemon: the program and the few files that it needs, as an
//! OCI layout.

mod layout;
mod root_fs;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::build;
use crate::pack::{read, write};
use crate::profile::Profile;
use crate::run::root;

use layout::{Layer, Layout};

/// The name under which container runtimes look for an image that was loaded by hand.
const REFERENCE: &str = "docker.io/library/doorbuster";

/// The user and group of the program: the numbers that images without a user database commonly use.
const USER: &str = "65532:65532";

/// Time in seconds in which Kubernetes informs its nodes that a pod is being deleted.
const LINGER_S: u64 = 5;

/// The operator port. The Prometheus of a cluster reads it (`k8s/components/monitoring`).
const OPERATOR_PORT: u16 = 9464;

/// The path of the manifest in an image with an application.
const APPLICATION: &str = "app/spin.toml";

/// The default tag.
const TAG: &str = env!("CARGO_PKG_VERSION");

/// The arguments of `cargo xtask image`.
#[derive(Debug, PartialEq, Eq)]
struct Args<'a> {
    /// The manifest of the application in the image; None for an image without one.
    app: Option<&'a str>,
    tag: &'a str,
}

impl<'a> Args<'a> {
    fn parse(args: &'a [String]) -> Result<Self> {
        let mut parsed = Self { app: None, tag: TAG };
        let mut args = args.iter().map(String::as_str).peekable();
        while let Some(arg) = args.next() {
            let value = args.next_if(|next| !next.starts_with('-'));
            match (arg, value) {
                ("--app", manifest) => parsed.app = Some(manifest.unwrap_or("spin.toml")),
                ("--tag", Some(tag)) if is_tag(tag) => parsed.tag = tag,
                ("--tag", Some(tag)) => bail!(
                    "`{tag}` is not a tag: up to {TAG_LENGTH_MAX} letters, digits, `_`, `.` and `-`"
                ),
                _ => bail!("image takes [--app [MANIFEST]] [--tag TAG], not `{arg}`"),
            }
        }
        Ok(parsed)
    }
}

/// Maximum length of a tag in registries.
const TAG_LENGTH_MAX: usize = 128;

fn is_tag(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    !text.is_empty()
        && text.len() <= TAG_LENGTH_MAX
        && !text.starts_with('.')
        && text.chars().all(fits)
}

/// Builds the program, and writes the image to `target/image/doorbuster/` and, as an archive for
/// `ctr images import` and similar commands, to `target/image/doorbuster.tar`. With `--app`, the
/// image contains the application and always runs it, and the name is `doorbuster-app`. `--tag`
/// sets the image's tag in the archive.
pub fn build(args: &[String]) -> Result<()> {
    let Args { app, tag } = Args::parse(args)?;
    build::pipeline(Profile::Release, &[])?;
    pack_as(Profile::Release, app, tag)
}

/// Writes an image with the built program. `app` is the manifest of the application in it.
pub fn pack(profile: Profile, app: Option<&str>) -> Result<()> {
    pack_as(profile, app, TAG)
}

fn pack_as(profile: Profile, app: Option<&str>, tag: &str) -> Result<()> {
    let app = app.map(|manifest| root().join(manifest));
    let name = if app.is_some() { "doorbuster-app" } else { "doorbuster" };
    let out = root().join("target/image");
    let mut layers = root_fs::layers(profile, &out)?;
    if let Some(manifest) = &app {
        layers.push(baked(manifest)?);
    }
    let reference = format!("{REFERENCE}:{tag}");
    let layout = Layout::new(&reference, layers, &config(app.is_some()))?;
    layout.write(&out.join(name))?;
    let packed = out.join(format!("{name}.tar"));
    write(&packed, &layout.pack()?)?;
    let digest = layout.digest();
    Ok(printing::result(format_args!("{} {reference}@{digest}", packed.display()))?)
}

/// The configuration with which containers of the image run.
fn config(has_app: bool) -> Value {
    let mut env = vec![
        "DOORBUSTER_NO_EMBEDDED=true".to_owned(),
        format!("DOORBUSTER_LINGER_S={LINGER_S}"),
        format!("DOORBUSTER_OPERATOR=0.0.0.0:{OPERATOR_PORT}"),
    ];
    if has_app {
        env.push(format!("DOORBUSTER_APPLICATION=/{APPLICATION}"));
    }
    json!({
        "User": USER,
        "Env": env,
        "Entrypoint": ["/doorbuster"],
        "Cmd": ["up", "--listen", "0.0.0.0:80"],
        "WorkingDir": "/",
        "ExposedPorts": { "80/tcp": {}, (format!("{OPERATOR_PORT}/tcp")): {} },
        "Labels": {
            "org.opencontainers.image.title": "doorbuster",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        },
    })
}

/// A layer with the manifest and its components.
fn baked(manifest: &Path) -> Result<Layer> {
    let text = read(manifest)?;
    let table: toml::Table = toml::from_str(std::str::from_utf8(&text)?)
        .with_context(|| manifest.display().to_string())?;
    let mut files = Vec::new();
    components(&toml::Value::Table(table), &mut files);
    files.sort();
    files.dedup();
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut layer = Layer::default();
    layer.file(APPLICATION, 0o644, text);
    for file in files {
        layer.file(&format!("app/{file}"), 0o644, read(&folder.join(&file))?);
    }
    Ok(layer)
}

/// Collects the component files in a manifest.
fn components(value: &toml::Value, files: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if text.ends_with(".wasm") => files.push(text.clone()),
        toml::Value::Table(table) => table.values().for_each(|value| components(value, files)),
        toml::Value::Array(items) => items.iter().for_each(|value| components(value, files)),
        _ => {}
    }
}

/// Reads a file of this machine that is copied into the image.
fn system(path: &str) -> Result<Vec<u8>> {
    read(&PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Result<(Option<String>, String), String> {
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let parsed = Args::parse(&args).map_err(|error| error.to_string())?;
        Ok((parsed.app.map(str::to_owned), parsed.tag.to_owned()))
    }

    #[test]
    fn the_tag_is_the_version_unless_one_is_given() {
        let some = |app: Option<&str>, tag: &str| Ok((app.map(str::to_owned), tag.to_owned()));
        assert_eq!(parsed(&[]), some(None, TAG));
        assert_eq!(parsed(&["--app"]), some(Some("spin.toml"), TAG));
        assert_eq!(parsed(&["--tag", "v2_1"]), some(None, "v2_1"));
        assert_eq!(parsed(&["--app", "--tag", "2"]), some(Some("spin.toml"), "2"));
        let fused = some(Some("spin-fused.toml"), "2");
        assert_eq!(parsed(&["--tag", "2", "--app", "spin-fused.toml"]), fused);
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        let long = "a".repeat(129);
        for tag in [".1", "a/b", "a:1", "ä", "", &long] {
            assert!(parsed(&["--tag", tag]).unwrap_err().contains("is not a tag"), "{tag}");
        }
        for args in [&["--tag"][..], &["2"], &["--push"]] {
            assert!(parsed(args).unwrap_err().contains("[--tag TAG]"), "{args:?}");
        }
    }
}
