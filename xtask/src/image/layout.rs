//! An image as an OCI layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::pack::{Archive, architecture, gzip, sha256, write};

/// The attribute that file capabilities are kept in.
const CAPABILITY: &str = "security.capability";

/// Files of the image that change together.
#[derive(Default)]
pub struct Layer(BTreeMap<String, File>);

#[derive(Default)]
struct File {
    mode: u32,
    content: Vec<u8>,
    capability: Option<Vec<u8>>,
}

impl Layer {
    /// Adds a file.
    pub fn file(&mut self, path: &str, mode: u32, content: Vec<u8>) {
        self.0.insert(path.into(), File { mode, content, capability: None });
    }

    /// Gives a file capabilities.
    pub fn capable(&mut self, path: &str, capability: Vec<u8>) {
        self.0.entry(path.into()).or_default().capability = Some(capability);
    }

    fn archive(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::new();
        let folders = self.0.keys().flat_map(|path| Path::new(path).ancestors().skip(1));
        let folders: BTreeSet<_> = folders.filter(|path| *path != Path::new("")).collect();
        for folder in folders {
            archive.folder(&folder.to_string_lossy())?;
        }
        for (path, File { mode, content, capability }) in &self.0 {
            if let Some(capability) = capability {
                archive.attribute(CAPABILITY, capability)?;
            }
            archive.file(path, *mode, content)?;
        }
        archive.finish()
    }
}

/// An image's blobs by their digests, and its index.
pub struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    index: Value,
    digest: String,
}

impl Layout {
    /// An image of these layers that is called `reference` and run as `config` says.
    pub fn new(reference: &str, layers: Vec<Layer>, config: &Value) -> Result<Self> {
        let mut blobs = BTreeMap::new();
        let (mut descriptors, mut contents) = (Vec::new(), Vec::new());
        for layer in layers {
            let archive = layer.archive()?;
            contents.push(format!("sha256:{}", sha256(&archive)));
            let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
            descriptors.push(store(&mut blobs, kind, gzip(&archive)?));
        }
        let platform = json!({ "architecture": architecture()?, "os": "linux" });
        let mut image = platform.clone();
        image["config"] = config.clone();
        image["rootfs"] = json!({ "type": "layers", "diff_ids": contents });
        let image = serde_json::to_vec(&image)?;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": store(&mut blobs, "application/vnd.oci.image.config.v1+json", image),
            "layers": descriptors,
        });
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let mut described = store(&mut blobs, kind, serde_json::to_vec(&manifest)?);
        let digest = described["digest"].as_str().unwrap_or_default().to_owned();
        described["platform"] = platform;
        let tag = reference.rsplit_once(':').map_or(reference, |(_, tag)| tag);
        described["annotations"] = json!({
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": tag,
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described],
        });
        Ok(Self { blobs, index, digest })
    }

    /// The manifest's digest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes it in place of what the folder holds.
    pub fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let files = self.files()?;
        files.iter().try_for_each(|(path, content)| write(&folder.join(path), content))
    }

    /// As one archive.
    pub fn pack(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::new();
        for (path, content) in self.files()? {
            archive.file(&path, 0o644, &content)?;
        }
        archive.finish()
    }

    fn files(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let version = json!({ "imageLayoutVersion": "1.0.0" });
        let mut files = vec![
            ("oci-layout".to_owned(), serde_json::to_vec(&version)?),
            ("index.json".to_owned(), serde_json::to_vec(&self.index)?),
        ];
        let blobs = self.blobs.iter();
        files.extend(blobs.map(|(hash, blob)| (format!("blobs/sha256/{hash}"), blob.clone())));
        Ok(files)
    }
}

/// Keeps a blob, and describes it.
fn store(blobs: &mut BTreeMap<String, Vec<u8>>, kind: &str, blob: Vec<u8>) -> Value {
    let hash = sha256(&blob);
    let described =
        json!({ "mediaType": kind, "digest": format!("sha256:{hash}"), "size": blob.len() });
    blobs.insert(hash, blob);
    described
}
