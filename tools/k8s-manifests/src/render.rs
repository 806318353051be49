//! Renders the objects that would be applied: each overlay, alone and with each component added.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::object::{Object, at, list};
use crate::yaml;

/// The folders of the examples that have manifests, in their folders `k8s`.
pub const EXAMPLES: [&str; 2] = ["examples/university", "examples/weather"];

/// An overlay, optionally with a component that it does not include itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// The overlay's name.
    pub overlay: String,
    /// The component's name.
    pub component: Option<String>,
}

impl Variant {
    /// The variant's name: `overlay` or `overlay with component`.
    pub fn name(&self) -> String {
        match &self.component {
            Some(component) => format!("{} with {component}", self.overlay),
            None => self.overlay.clone(),
        }
    }

    /// All variants of the project at `root`.
    pub fn all(root: &Path) -> Result<Vec<Self>> {
        let mut all = Vec::new();
        for overlay in folders(&root.join("k8s/overlays"))? {
            let own = components_of(&root.join("k8s/overlays").join(&overlay))?;
            all.push(Self { overlay: overlay.clone(), component: None });
            for component in folders(&root.join("k8s/components"))? {
                if !own.contains(&component) {
                    all.push(Self { overlay: overlay.clone(), component: Some(component) });
                }
            }
        }
        Ok(all)
    }

    /// Renders the objects that `kubectl apply -k` would apply.
    pub fn render(&self, root: &Path) -> Result<Vec<Object>> {
        let overlay = root.join("k8s/overlays").join(&self.overlay);
        let Some(component) = &self.component else { return kustomize(&overlay) };
        // Below the root, because kustomize accepts only relative paths.
        let scratch = root.join("target");
        fs::create_dir_all(&scratch).with_context(|| scratch.display().to_string())?;
        let folder = tempfile::Builder::new().prefix("manifests-").tempdir_in(&scratch)?;
        let kustomization = json!({
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "resources": [format!("../../k8s/overlays/{}", self.overlay)],
            "components": [format!("../../k8s/components/{component}")],
            "sortOptions": at(&read(&overlay)?, "sortOptions"),
        });
        fs::write(folder.path().join("kustomization.yaml"), kustomization.to_string())?;
        kustomize(folder.path())
    }
}

/// The names of the folders in a folder, sorted.
fn folders(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Reads the kustomization of an overlay.
fn read(overlay: &Path) -> Result<Value> {
    let file = overlay.join("kustomization.yaml");
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let documents = yaml::documents(&text).with_context(|| file.display().to_string())?;
    documents.into_iter().next().with_context(|| format!("{} is empty", file.display()))
}

/// The names of the components that an overlay includes.
fn components_of(overlay: &Path) -> Result<Vec<String>> {
    let kustomization = read(overlay)?;
    let named = list(&kustomization, "components").iter();
    let name = |path: &str| PathBuf::from(path).file_name().map(|n| n.to_string_lossy().into());
    Ok(named.filter_map(|path| name(path.as_str()?)).collect())
}

/// Renders a folder.
pub fn kustomize(folder: &Path) -> Result<Vec<Object>> {
    let mut kubectl = Command::new("kubectl");
    let rendered = test_servers::run(kubectl.arg("kustomize").arg(folder), "kubectl is needed")?;
    let documents = yaml::documents(&rendered).with_context(|| folder.display().to_string())?;
    Ok(documents.into_iter().map(Object).collect())
}
