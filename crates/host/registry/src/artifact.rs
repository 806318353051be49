//! The format of an artifact: the locked application is one layer, and each component, dependency
//! and file is another. Small files are part of the application.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::{fmt, fs};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use spin_app::App;
use spin_app::binary::Binary;
use spin_app::files::MountedFile;

use crate::{Error, archive};

/// The most bytes of a pulled artifact, which is kept in memory, and of its files.
pub(crate) const ARTIFACT_BYTES_MAX: u64 = 512 << 20;

/// Media types of all layers.
pub const LAYERS: &[&str] = &[APPLICATION_LAYER, COMPONENT_LAYER, FILE_LAYER, ARCHIVE_LAYER];

/// Media type of the layer with the locked application.
pub const APPLICATION_LAYER: &str = "application/vnd.fermyon.spin.application.v1+config";

/// Media type of a component's layer.
pub const COMPONENT_LAYER: &str = "application/vnd.wasm.content.layer.v1+wasm";

/// Media type of a file's layer.
pub(crate) const FILE_LAYER: &str = "application/vnd.wasm.content.layer.v1+data";

/// Media type of a layer with several files.
pub(crate) const ARCHIVE_LAYER: &str = "application/vnd.wasm.content.bundle.v1.tar+gzip";

/// The most bytes of a file that is part of the application, as in Spin: some registries do not
/// accept very small layers.
const INLINE_BYTES_MAX: usize = 128;

/// The key in the metadata for the file that the application was read from. It is removed, because
/// it is a path of the machine that pushes.
const ORIGIN: &str = "origin";

/// An application with all its components.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Artifact {
    /// The locked application's JSON, with digests in place of files.
    pub application: Bytes,
    /// The content for each digest, `sha256:…`.
    pub components: BTreeMap<String, Bytes>,
    /// The files of the components, for each digest.
    pub files: BTreeMap<String, Bytes>,
}

impl Artifact {
    /// Reads the files of the application. The same application results in the same bytes. Fails if
    /// they have more bytes than are pulled.
    pub fn of(app: &App) -> Result<Self, Error> {
        Self::within(app, ARTIFACT_BYTES_MAX)
    }

    fn within(app: &App, bytes_max: u64) -> Result<Self, Error> {
        let mut app = app.clone();
        app.metadata.other.remove(ORIGIN);
        let mut components = BTreeMap::new();
        for source in app.sources_mut() {
            let read = source.read().and_then(|bytes| Binary::from_header(&bytes).map(|_| bytes));
            let read = read.map_err(|message| format!("{source}: {message}"));
            let content = Bytes::from(read.map_err(Error::Unfit)?.into_owned());
            let digest = digest(&content);
            source.set_layer(digest.clone(), None);
            components.insert(digest, content);
        }
        let mut left = bytes_max;
        let mut take = |bytes: u64| {
            left = left.checked_sub(archive::unpacked_bytes(bytes)).ok_or_else(|| {
                let text = format!("its components and files have more than {bytes_max} bytes");
                Error::Unfit(text)
            })?;
            Ok::<_, Error>(())
        };
        components.values().try_for_each(|content: &Bytes| take(content.len() as u64))?;
        let (mut files, mut counted) = (BTreeMap::new(), HashSet::new());
        for file in app.components.iter_mut().flat_map(|component| &mut component.files) {
            // Counted before it is read. Files of several components are stored once.
            if let Some(path) = file.local_path()
                && counted.insert(path.clone())
            {
                let fault = |text: &dyn fmt::Display| Error::Unfit(format!("{file}: {text}"));
                let metadata = fs::metadata(&path).map_err(|error| fault(&error))?;
                if !metadata.is_file() {
                    return Err(fault(&"it is no file"));
                }
                take(metadata.len())?;
            }
            let content = file.read().map_err(Error::Unfit)?.into_owned();
            let (digest, path) = (digest(&content), file.path().to_owned());
            if content.len() <= INLINE_BYTES_MAX {
                *file = MountedFile::inline(&content, digest, path);
            } else {
                *file = MountedFile::layer(digest.clone(), path);
                files.insert(digest, content.into());
            }
        }
        let application = serde_json::to_vec(&app).map_err(|e| Error::Unfit(e.to_string()))?;
        Ok(Self { application: application.into(), components, files })
    }

    /// Adds a layer. The files, unpacked, have at most 512 MiB. `name` is used in error messages.
    pub fn add_layer(
        &mut self,
        name: &str,
        media_type: &str,
        digest: String,
        content: Bytes,
    ) -> Result<(), Error> {
        match media_type {
            APPLICATION_LAYER => self.application = content,
            FILE_LAYER => _ = self.files.insert(digest, content),
            ARCHIVE_LAYER => {
                let bytes: u64 = self.files.values().map(|content| content.len() as u64).sum();
                let unpacked = archive::unpack(&content, ARTIFACT_BYTES_MAX.saturating_sub(bytes));
                self.files.extend(unpacked.map_err(|error| Error::NotAnApplication {
                    artifact: name.into(),
                    message: format!("the archive {digest} is invalid: {error}"),
                })?);
            }
            _ => _ = self.components.insert(digest, content),
        }
        Ok(())
    }

    /// The application, which can be loaded from memory. `name` is used in error messages.
    pub fn into_app(self, name: &str) -> Result<App, Error> {
        let mut app = App::from_json(Path::new(name), &self.application)?;
        for source in app.sources_mut() {
            let found = source.digest().and_then(|digest| self.components.get_key_value(digest));
            let Some((digest, content)) = found else {
                let message = format!("it has no layer for {source}");
                return Err(Error::NotAnApplication { artifact: name.into(), message });
            };
            source.set_layer(digest.clone(), Some(content.clone()));
        }
        for file in app.components.iter_mut().flat_map(|component| &mut component.files) {
            // A path of this machine must not come from a registry.
            if file.local_path().is_some() {
                let message = format!("the file {file} has no content");
                return Err(Error::NotAnApplication { artifact: name.into(), message });
            }
            let Some(digest) = file.missing_layer() else { continue };
            // A file may have the content of a component.
            let content = self.files.get(digest).or_else(|| self.components.get(digest));
            let Some(content) = content.cloned() else {
                let message = format!("it has no layer {digest} for the file {file}");
                return Err(Error::NotAnApplication { artifact: name.into(), message });
            };
            file.set_content(content);
        }
        Ok(app)
    }
}

/// The digest in the form that registries use.
pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{:x}", Sha256::digest(content))
}

#[cfg(test)]
mod tests {
    use spin_app::manifest;

    use super::*;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "shop"
        [[trigger.http]]
        route = "/"
        component = "front"
        [component.front]
        source = "front.wasm"
        files = ["*.txt"]
        [component.front.dependencies]
        "shop:store/client" = { path = "store.wasm" }
        [component.front.tool.doorbuster]
        provide = ["shop:store/client"]
        [component.back]
        source = "store.wasm"
    "#;

    /// Content that is recognized as a component by its first bytes.
    const FRONT: &[u8] = b"\0asm\x0d\0\x01\0front";
    const STORE: &[u8] = b"\0asm\x0d\0\x01\0store";

    /// The content of a file that has its own layer.
    const LARGE: [u8; 1_000] = [b'x'; 1_000];

    fn app(folder: &Path) -> App {
        fs::write(folder.join("spin.toml"), MANIFEST).unwrap();
        fs::write(folder.join("front.wasm"), FRONT).unwrap();
        fs::write(folder.join("store.wasm"), STORE).unwrap();
        fs::write(folder.join("small.txt"), "small").unwrap();
        fs::write(folder.join("large.txt"), LARGE).unwrap();
        manifest::read(&folder.join("spin.toml")).unwrap()
    }

    #[test]
    fn what_goes_in_comes_out() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        let artifact = Artifact::of(&app).unwrap();
        assert_eq!((artifact.components.len(), artifact.files.len()), (2, 1));
        let json = String::from_utf8(artifact.application.to_vec()).unwrap();
        assert!(!json.contains(&folder.path().display().to_string()), "{json}");
        drop(folder);
        let mut out = artifact.into_app("registry.example/shop").unwrap();
        let contents: Vec<_> =
            out.sources_mut().map(|source| source.read().unwrap().into_owned()).collect();
        assert_eq!(contents, [STORE, FRONT, STORE]);
        let front = out.component("front").unwrap();
        assert_eq!(front.provide, ["shop:store/client"]);
        let files = front.files.iter().map(|f| (f.path(), f.read().unwrap().into_owned()));
        let expected = [("large.txt", LARGE.to_vec()), ("small.txt", b"small".to_vec())];
        assert_eq!(files.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_same_application_is_the_same_artifact_wherever_it_lies() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let artifacts = [one, other].map(|folder| Artifact::of(&app(folder.path())).unwrap());
        assert_eq!(artifacts[0], artifacts[1]);
    }

    #[test]
    fn a_missing_layer_or_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        let mut artifact = Artifact::of(&app).unwrap();
        let without_files = Artifact { files: BTreeMap::new(), ..artifact.clone() };
        let error = without_files.into_app("registry.example/shop").unwrap_err().to_string();
        assert!(error.contains(&digest(&LARGE)) && error.contains("large.txt"), "{error}");
        let local = serde_json::to_vec(&app).unwrap().into();
        let local = Artifact { application: local, ..artifact.clone() };
        assert!(local.into_app("registry.example/shop").is_err(), "a file of this machine");
        let missing = digest(FRONT);
        artifact.components.remove(&missing);
        let error = artifact.into_app("registry.example/shop").unwrap_err().to_string();
        assert!(error.contains(&missing) && error.contains("registry.example/shop"), "{error}");
        fs::write(folder.path().join("store.wasm"), "not built").unwrap();
        let error = Artifact::of(&app).unwrap_err().to_string();
        assert!(error.contains("not a WebAssembly component"), "{error}");
        fs::remove_file(folder.path().join("store.wasm")).unwrap();
        let error = Artifact::of(&app).unwrap_err().to_string();
        assert!(error.contains("store.wasm"), "{error}");
    }

    #[test]
    fn more_than_is_pulled_is_not_pushed() {
        let folder = tempfile::tempdir().unwrap();
        let app = app(folder.path());
        let contents = [FRONT, STORE, b"small", &LARGE];
        let bytes = contents.iter().map(|content| archive::unpacked_bytes(content.len() as u64));
        let bytes: u64 = bytes.sum();
        assert_eq!(Artifact::within(&app, bytes).unwrap(), Artifact::of(&app).unwrap());
        let error = Artifact::within(&app, bytes - 1).unwrap_err().to_string();
        assert!(error.contains("more than"), "{error}");
        fs::remove_file(folder.path().join("large.txt")).unwrap();
        fs::create_dir(folder.path().join("large.txt")).unwrap();
        let error = Artifact::of(&app).unwrap_err().to_string();
        assert!(error.contains("large.txt") && error.contains("no file"), "{error}");
    }
}
