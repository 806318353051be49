//! Creates the files that kustomize's secret generators read: random passwords, and files that
//! contain them. Existing files are not changed.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use rand::TryRngCore as _;
use rand::rngs::OsRng;

use crate::acl;
use crate::object::{Object, find};
use crate::yaml;

/// Number of random bytes of a password, the same as that of its hash.
const PASSWORD_BYTES: usize = 32;

/// Users whose complete URL is needed.
const URL_USERS: [&str; 4] = ["aggregator", "audit", "dashboard", "writer"];

/// Creates the missing files for each overlay of the project at `root`, and returns their paths.
pub fn generate(root: &Path) -> Result<Vec<PathBuf>> {
    let mut made = Vec::new();
    let overlays = root.join("k8s/overlays");
    for entry in fs::read_dir(&overlays).with_context(|| overlays.display().to_string())? {
        let overlay = entry?.path();
        if overlay.is_dir() {
            made.extend(for_overlay(root, &overlay)?);
        }
    }
    made.sort();
    Ok(made)
}

fn for_overlay(root: &Path, overlay: &Path) -> Result<Vec<PathBuf>> {
    let folder = Folder { path: overlay.join("secrets"), made: Vec::new() };
    let mut folder = folder.create()?;
    let addresses = addresses(root, overlay)?;
    let mut passwords = Vec::new();
    for user in &acl::USERS {
        let name = match user.name {
            "grafana" => "valkey-grafana-password".to_owned(),
            name => format!("{name}-password"),
        };
        let password = folder.keep(&name, password)?;
        ensure!(!password.is_empty(), "{} is empty: delete it", folder.path.join(name).display());
        passwords.push((user.name, password));
    }
    let password = |user: &str| {
        let known = passwords.iter().find(|(name, _)| *name == user);
        known.map(|(_, password)| password.clone()).unwrap_or_default()
    };
    for user in URL_USERS {
        let url = format!("redis://{user}:{}@{addresses}", password(user));
        folder.keep(&format!("valkey-{user}-url"), || Ok(url))?;
    }
    folder.keep("users.acl", || Ok(acl::file(password)))?;
    folder.keep("grafana-admin-password", self::password)?;
    Ok(folder.made)
}

/// The addresses `host:port,…` of the overlay's Valkey members: from its own ConfigMap, otherwise
/// from the base's.
fn addresses(root: &Path, overlay: &Path) -> Result<String> {
    for file in [overlay.join("valkey.yaml"), root.join("k8s/base/valkey/hosts.yaml")] {
        if !file.exists() {
            continue;
        }
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let documents = yaml::documents(&text).with_context(|| file.display().to_string())?;
        let objects: Vec<Object> = documents.into_iter().map(Object).collect();
        if let Some(hosts) = find(&objects, "ConfigMap", "valkey-hosts") {
            return Ok(hosts.text("data.addresses").to_owned());
        }
    }
    anyhow::bail!("no file names the addresses of Valkey for {}", overlay.display())
}

/// 256 random bits from the operating system in hexadecimal, which needs no escaping anywhere.
fn password() -> Result<String> {
    let mut bytes = [0; PASSWORD_BYTES];
    OsRng.try_fill_bytes(&mut bytes).context("the operating system gives no random bytes")?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

struct Folder {
    path: PathBuf,
    made: Vec<PathBuf>,
}

impl Folder {
    fn create(self) -> Result<Self> {
        let mut builder = DirBuilder::new();
        let created = builder.recursive(true).mode(0o700).create(&self.path);
        created.with_context(|| format!("cannot create {}", self.path.display()))?;
        Ok(self)
    }

    /// Reads a file, or creates it with this content, readable only for its owner.
    fn keep(&mut self, name: &str, content: impl FnOnce() -> Result<String>) -> Result<String> {
        let path = self.path.join(name);
        let shown = || format!("cannot write {}", path.display());
        if path.exists() {
            return fs::read_to_string(&path).with_context(|| path.display().to_string());
        }
        let content = content()?;
        // Renamed at the end, so that an incomplete file is not mistaken for a complete one.
        let making = self.path.join(format!(".{name}.making"));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&making)
            .with_context(shown)?;
        file.write_all(content.as_bytes()).with_context(shown)?;
        fs::rename(&making, &path).with_context(shown)?;
        self.made.push(path);
        Ok(content)
    }
}
