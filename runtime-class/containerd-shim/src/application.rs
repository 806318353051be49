//! Reads the application from a container's image.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use containerd_shim_wasm::sandbox::context::{RuntimeContext, Source, WasmLayer};
use registry::Artifact;
use spin_app::{App, manifest};

/// The file name of the manifest.
const MANIFEST: &str = "spin.toml";

/// The name of an artifact in error texts, because containerd does not pass its reference.
const ARTIFACT: &str = "the image";

/// The kinds of images.
#[derive(Debug, PartialEq, Eq)]
pub enum Image {
    /// An image with files: the command is the path of the manifest or of its folder.
    Files(PathBuf),
    /// An artifact of a registry: the layers of a Spin application.
    Artifact(Artifact),
}

impl Image {
    /// Determines the kind of a container's image.
    pub fn new(context: &impl RuntimeContext) -> Result<Self> {
        Ok(match context.entrypoint().source {
            Source::File(command) => Image::Files(command),
            Source::Oci(layers) => Image::Artifact(artifact(layers)?),
        })
    }

    /// Reads the application.
    pub fn read(self) -> Result<App> {
        match self {
            Image::Files(command) => read_files(&command),
            Image::Artifact(artifact) => Ok(artifact.into_app(ARTIFACT)?),
        }
    }
}

fn read_files(command: &Path) -> Result<App> {
    let is_folder = command.is_dir();
    let path = if is_folder { command.join(MANIFEST) } else { command.to_owned() };
    manifest::read(&path).with_context(|| {
        format!(
            "the container's command is `{}`; it must be a {MANIFEST} or its folder, as a rule `/`",
            command.display()
        )
    })
}

fn artifact(layers: &[WasmLayer]) -> Result<Artifact> {
    let mut artifact = Artifact::default();
    for WasmLayer { config, layer, .. } in layers {
        let (kind, digest) = (config.media_type().to_string(), config.digest().to_string());
        artifact.add_layer(ARTIFACT, &kind, digest, Bytes::copy_from_slice(layer))?;
    }
    Ok(artifact)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use containerd_shim_wasm::sandbox::context::Entrypoint;
    use oci_spec::image::{Descriptor, Digest, MediaType};
    use registry::{APPLICATION_LAYER, COMPONENT_LAYER};

    use super::*;

    const TEXT: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "shop"
        [[trigger.http]]
        route = "/"
        component = "front"
        [component.front]
        source = "front.wasm"
    "#;

    /// A container as containerd's library describes it.
    struct Container {
        command: String,
        layers: Vec<WasmLayer>,
    }

    impl RuntimeContext for Container {
        fn args(&self) -> &[String] {
            std::slice::from_ref(&self.command)
        }

        fn envs(&self) -> &[String] {
            &[]
        }

        fn entrypoint(&self) -> Entrypoint<'_> {
            let source = match self.layers.as_slice() {
                [] => Source::File(PathBuf::from(&self.command)),
                layers => Source::Oci(layers),
            };
            Entrypoint { func: "_start".into(), name: None, arg0: None, source }
        }
    }

    /// The shortest valid component: only a header.
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    fn read(command: &Path, layers: Vec<WasmLayer>) -> Result<App> {
        Image::new(&Container { command: command.display().to_string(), layers })?.read()
    }

    fn layer(kind: &str, digest: &str, content: &[u8]) -> WasmLayer {
        let size = content.len().try_into().unwrap();
        let digest = Digest::try_from(digest.to_owned()).unwrap();
        let config = Descriptor::new(MediaType::Other(kind.into()), size, digest);
        WasmLayer { config, precompiled: false, layer: content.to_vec() }
    }

    #[test]
    fn the_command_is_the_manifest_or_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let manifest = folder.path().join("spin.toml");
        fs::write(&manifest, TEXT).unwrap();
        for command in [folder.path(), &manifest] {
            assert_eq!(read(command, vec![]).unwrap().metadata.name, "shop");
        }
        let missing = folder.path().join("nowhere");
        let error = format!("{:#}", read(&missing, vec![]).unwrap_err());
        assert!(error.contains("nowhere") && error.contains("as a rule `/`"), "{error}");
    }

    #[test]
    fn layers_are_found_by_their_digests() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("spin.toml"), TEXT).unwrap();
        fs::write(folder.path().join("front.wasm"), COMPONENT).unwrap();
        let app = manifest::read(&folder.path().join("spin.toml")).unwrap();
        let Artifact { application, components, .. } = Artifact::of(&app).unwrap();
        let named = format!("sha256:{}", "0".repeat(64));
        let mut layers = vec![layer(APPLICATION_LAYER, &named, &application)];
        let error = format!("{:#}", read(Path::new("/"), layers.clone()).unwrap_err());
        assert!(error.contains("the image") && error.contains("sha256:"), "{error}");
        let components = components.iter();
        layers.extend(components.map(|(digest, content)| layer(COMPONENT_LAYER, digest, content)));
        let mut app = read(Path::new("/"), layers).unwrap();
        let sources: Vec<_> = app.sources_mut().map(|s| s.read().unwrap().into_owned()).collect();
        assert_eq!(sources, [COMPONENT]);
    }
}
