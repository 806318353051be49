//! Creates images in the format that `ctr images import` reads: an OCI layout in a tar archive.

use std::collections::BTreeMap;
use std::path::Path;

use pipeline_tests::root;
use registry::{APPLICATION_LAYER, Artifact, COMPONENT_LAYER};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use spin_app::manifest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const FILES: &str = "application/vnd.oci.image.layer.v1.tar";

/// The files of an image: path and content.
pub type Files = Vec<(String, Vec<u8>)>;

/// A manifest of the project, and its components with the paths in the manifest.
pub fn files_of(name: &str) -> Files {
    let mut app = manifest::read(&root().join(name)).unwrap();
    let paths = app.sources_mut().map(|source| source.path().unwrap());
    let file = |path: std::path::PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
        (name, std::fs::read(path).unwrap())
    };
    let components: BTreeMap<_, _> = paths.map(file).collect();
    let manifest = ("spin.toml".to_owned(), std::fs::read(root().join(name)).unwrap());
    components.into_iter().chain([manifest]).collect()
}

/// A manifest and these components of the project, whose files have underscores in the name.
pub fn files(manifest: &str, components: &[&str]) -> Files {
    let component = |name: &&str| {
        let file = format!("{}.wasm", name.replace('-', "_"));
        let content = std::fs::read(root().join("target/components").join(&file)).unwrap();
        (file, content)
    };
    let manifest = ("spin.toml".to_owned(), manifest.as_bytes().to_vec());
    components.iter().map(component).chain([manifest]).collect()
}

/// An ordinary image with files, whose command is `/`.
pub fn ordinary(name: &str, files: &Files) -> Vec<u8> {
    let layer = tar(files.iter().map(|(name, content)| (name.as_str(), content.as_slice())));
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "Cmd": ["/"] },
        "rootfs": { "type": "layers", "diff_ids": [digest(&layer)] },
    });
    layout(name, &config, &[(FILES, &layer)])
}

/// An artifact of a registry, as `spin registry push` creates it from files.
pub fn artifact(name: &str, files: &Files) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, content)| write(&folder.path().join(name), content));
    let app = manifest::read(&folder.path().join("spin.toml")).unwrap();
    let artifact = Artifact::of(&app).unwrap();
    let components = artifact.components.values().map(|content| (COMPONENT_LAYER, &content[..]));
    let layers = components.chain([(APPLICATION_LAYER, &artifact.application[..])]);
    let config = json!({
        "architecture": "wasm",
        "os": "Wasip1",
        "config": { "Cmd": ["/"] },
        "rootfs": { "type": "layers", "diff_ids": [] },
    });
    layout(name, &config, &layers.collect::<Vec<_>>())
}

fn write(path: &Path, content: &[u8]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn layout(name: &str, config: &Value, layers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut blobs = BTreeMap::new();
    let mut add = |kind: &str, content: &[u8]| {
        let digest = digest(content);
        blobs.insert(format!("blobs/{}", digest.replace(':', "/")), content.to_vec());
        json!({ "mediaType": kind, "size": content.len(), "digest": digest })
    };
    let layers: Vec<_> = layers.iter().map(|(kind, content)| add(kind, content)).collect();
    let config = add(CONFIG, config.to_string().as_bytes());
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers });
    let mut manifest = add(MANIFEST, manifest.to_string().as_bytes());
    manifest["annotations"] = json!({ "io.containerd.image.name": name });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    blobs.insert("index.json".into(), index.to_string().into_bytes());
    blobs.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    tar(blobs.iter().map(|(name, content)| (name.as_str(), content.as_slice())))
}

fn tar<'a>(files: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len().try_into().unwrap());
        header.set_mode(0o644);
        tar.append_data(&mut header, name, content).unwrap();
    }
    tar.into_inner().unwrap()
}

fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}
