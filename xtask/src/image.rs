//! Our image, without a daemon: the program and the few files that it needs, as an OCI layout.

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

/// Its name, where a container runtime looks for an image that was loaded by hand.
const REFERENCE: &str = "docker.io/library/doorbuster";

/// Who the program runs as: the number that images without users have agreed on.
const USER: &str = "65532:65532";

/// Seconds in which Kubernetes tells its nodes that a pod is to end.
const LINGER_S: u64 = 5;

/// The baked application's manifest.
const APPLICATION: &str = "app/spin.toml";

/// Builds the program and writes the image to `target/image/doorbuster/` and, packed for
/// `ctr images import` and the like, to `target/image/doorbuster.tar`. With `--app` the image
/// contains the application and always runs that; it is written to `doorbuster-app` then.
pub fn build(args: &[String]) -> Result<()> {
    let app = match args {
        [] => None,
        [flag] if flag == "--app" => Some("spin.toml"),
        [flag, manifest] if flag == "--app" => Some(manifest.as_str()),
        _ => bail!("image takes [--app [MANIFEST]]"),
    };
    build::pipeline(Profile::Release, &[])?;
    pack(Profile::Release, app)
}

/// Writes the image of a program that is built; `app` is the manifest of the application in it.
pub fn pack(profile: Profile, app: Option<&str>) -> Result<()> {
    let app = app.map(|manifest| root().join(manifest));
    let name = if app.is_some() { "doorbuster-app" } else { "doorbuster" };
    let out = root().join("target/image");
    let mut layers = root_fs::layers(profile, &out)?;
    if let Some(manifest) = &app {
        layers.push(baked(manifest)?);
    }
    let reference = format!("{REFERENCE}:{}", env!("CARGO_PKG_VERSION"));
    let layout = Layout::new(&reference, layers, &config(app.is_some()))?;
    layout.write(&out.join(name))?;
    let packed = out.join(format!("{name}.tar"));
    write(&packed, &layout.pack()?)?;
    let digest = layout.digest();
    Ok(printing::result(format_args!("{} {reference}@{digest}", packed.display()))?)
}

/// How a container of it is run.
fn config(has_app: bool) -> Value {
    let mut env =
        vec!["DOORBUSTER_NO_EMBEDDED=true".to_owned(), format!("DOORBUSTER_LINGER_S={LINGER_S}")];
    if has_app {
        env.push(format!("DOORBUSTER_APPLICATION=/{APPLICATION}"));
    }
    json!({
        "User": USER,
        "Env": env,
        "Entrypoint": ["/doorbuster"],
        "Cmd": ["up", "--listen", "0.0.0.0:80"],
        "WorkingDir": "/",
        "ExposedPorts": { "80/tcp": {} },
        "Labels": {
            "org.opencontainers.image.title": "doorbuster",
            "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
        },
    })
}

/// The manifest and the components that it names, in its folder.
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

/// The files that a manifest names.
fn components(value: &toml::Value, files: &mut Vec<String>) {
    match value {
        toml::Value::String(text) if text.ends_with(".wasm") => files.push(text.clone()),
        toml::Value::Table(table) => table.values().for_each(|value| components(value, files)),
        toml::Value::Array(items) => items.iter().for_each(|value| components(value, files)),
        _ => {}
    }
}

/// A file of this machine that goes into the image.
fn system(path: &str) -> Result<Vec<u8>> {
    read(&PathBuf::from(path))
}
