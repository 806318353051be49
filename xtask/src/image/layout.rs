//! An image in the format of an OCI layout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::pack::{Archive, architecture, gzip, sha256, write};

/// Media types of the parts of an image.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The folder with the blobs.
const BLOBS: &str = "blobs/sha256/";

/// The extended attribute that contains file capabilities.
const CAPABILITY: &str = "security.capability";

/// A set of files that usually change together.
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

    /// Sets the capabilities of a file.
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

/// The blobs of an image by their digests, and its index.
pub struct Layout {
    blobs: BTreeMap<String, Vec<u8>>,
    index: Value,
    digest: String,
    /// The index in the format of Docker archives, for `docker load` and similar commands.
    loadable: Value,
}

impl Layout {
    /// Creates an image with these layers, named `reference`, with this configuration.
    pub fn new(reference: &str, layers: Vec<Layer>, config: &Value) -> Result<Self> {
        let mut blobs = BTreeMap::new();
        let (mut descriptors, mut contents) = (Vec::new(), Vec::new());
        for layer in layers {
            let archive = layer.archive()?;
            contents.push(format!("sha256:{}", sha256(&archive)));
            descriptors.push(store(&mut blobs, LAYER, gzip(&archive)?));
        }
        let (architecture, os) = (architecture()?, "linux");
        let image = json!({
            "architecture": architecture,
            "os": os,
            "config": config,
            "rootfs": { "type": "layers", "diff_ids": contents },
        });
        let image = store(&mut blobs, CONFIG, serde_json::to_vec(&image)?);
        let loadable = json!([{
            "Config": place(&image),
            "RepoTags": [reference],
            "Layers": descriptors.iter().map(place).collect::<Vec<_>>(),
        }]);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": image,
            "layers": descriptors,
        });
        let manifest = serde_json::to_vec(&manifest)?;
        let (digest, size) = (format!("sha256:{}", sha256(&manifest)), manifest.len());
        store(&mut blobs, MANIFEST, manifest);
        let tag = reference.rsplit_once(':').map_or(reference, |(_, tag)| tag);
        let described = json!({
            "mediaType": MANIFEST,
            "digest": digest,
            "size": size,
            "platform": { "architecture": architecture, "os": os },
            "annotations": {
                "io.containerd.image.name": reference,
                "org.opencontainers.image.ref.name": tag,
            },
        });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [described],
        });
        Ok(Self { blobs, index, digest, loadable })
    }

    /// The digest of the manifest.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Writes the layout, replacing the content of the folder.
    pub fn write(&self, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let files = self.files()?;
        files.iter().try_for_each(|(path, content)| write(&folder.join(path), content))
    }

    /// The layout as an archive, which Docker can load, too.
    pub fn pack(&self) -> Result<Vec<u8>> {
        let mut archive = Archive::new();
        archive.file("manifest.json", 0o644, &serde_json::to_vec(&self.loadable)?)?;
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
        files.extend(blobs.map(|(hash, blob)| (format!("{BLOBS}{hash}"), blob.clone())));
        Ok(files)
    }
}

/// The path of a blob.
fn place(described: &Value) -> Option<String> {
    Some(described["digest"].as_str()?.replace("sha256:", BLOBS))
}

/// Stores a blob, and returns its descriptor.
fn store(blobs: &mut BTreeMap<String, Vec<u8>>, kind: &str, blob: Vec<u8>) -> Value {
    let hash = sha256(&blob);
    let described =
        json!({ "mediaType": kind, "digest": format!("sha256:{hash}"), "size": blob.len() });
    blobs.insert(hash, blob);
    described
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::Read as _;

    use flate2::read::GzDecoder;

    use super::*;

    fn files(archive: &[u8]) -> HashMap<String, Vec<u8>> {
        let mut archive = tar::Archive::new(archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (entry.path().unwrap().display().to_string(), content)
        });
        entries.collect()
    }

    fn layout() -> Layout {
        let mut layer = Layer::default();
        layer.file("lib/a", 0o755, b"library".to_vec());
        layer.file("program", 0o755, b"program".to_vec());
        layer.capable("program", b"may\0do".to_vec());
        Layout::new("registry.example/doorbuster:1", vec![layer], &json!({ "User": "1" })).unwrap()
    }

    #[test]
    fn everything_is_where_its_digest_says() {
        let layout = layout();
        let files = files(&layout.pack().unwrap());
        let blob = |described: &Value| {
            let hash = described["digest"].as_str().unwrap().trim_start_matches("sha256:");
            let blob = &files[&format!("blobs/sha256/{hash}")];
            assert_eq!(
                (sha256(blob).as_str(), described["size"].as_u64()),
                (hash, Some(blob.len() as u64))
            );
            blob.clone()
        };
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = json(&files["index.json"]);
        assert_eq!(index["manifests"][0]["digest"], layout.digest());
        let manifest = json(&blob(&index["manifests"][0]));
        let config = json(&blob(&manifest["config"]));
        assert_eq!(config["config"]["User"], "1");
        let loadable = &json(&files["manifest.json"])[0];
        assert_eq!(json(&files[loadable["Config"].as_str().unwrap()]), config);
        assert_eq!(files[loadable["Layers"][0].as_str().unwrap()], blob(&manifest["layers"][0]));
        let mut archive = Vec::new();
        let zipped = blob(&manifest["layers"][0]);
        GzDecoder::new(zipped.as_slice()).read_to_end(&mut archive).unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][0], format!("sha256:{}", sha256(&archive)));
        let mut entries = tar::Archive::new(archive.as_slice());
        let mut entries = entries.entries().unwrap().map(Result::unwrap);
        let mut next = || {
            let mut entry = entries.next().unwrap();
            let attributes: Vec<_> =
                entry.pax_extensions().unwrap().into_iter().flatten().collect();
            let value = attributes.into_iter().map(|a| a.unwrap().value_bytes().to_vec()).next();
            (entry.path().unwrap().display().to_string(), value)
        };
        assert_eq!(next(), ("lib".into(), None));
        assert_eq!(next(), ("lib/a".into(), None));
        assert_eq!(next(), ("program".into(), Some(b"may\0do".to_vec())));
    }

    #[test]
    fn the_same_content_is_the_same_image() {
        assert_eq!(layout().pack().unwrap(), layout().pack().unwrap());
    }
}
