//! The source of an application: a manifest, a registry, or the image that runs it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow};
use registry::{Reference, Transport, parse_reference, pull};
use spin_app::{App, manifest};

/// The manifest that is read if no application is specified.
const DEFAULT: &str = "spin.toml";

/// Which application.
#[derive(Clone, clap::Args)]
pub struct Source {
    /// The application: a manifest, or an artifact in a registry, REGISTRY/NAME[:TAG].
    #[arg(short = 'f', long, value_name = "FILE|REF", default_value = DEFAULT)]
    from: String,
    /// Run this manifest regardless of --from; for an image that contains the application.
    #[arg(long, value_name = "FILE", env = "DOORBUSTER_APPLICATION")]
    application: Option<PathBuf>,
    /// Use plain HTTP for the registry. A registry on this machine may use it in any case.
    #[arg(short = 'k', long)]
    insecure: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Manifest(PathBuf),
    Registry(Reference),
}

impl FromStr for Origin {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let path = Path::new(text);
        if path.exists() || path.extension().is_some_and(|extension| extension == "toml") {
            return Ok(Origin::Manifest(path.into()));
        }
        let reference = parse_reference(text).map(Origin::Registry);
        reference.map_err(|error| anyhow!("there is no such file, and {error}"))
    }
}

impl Source {
    /// Whether the default manifest would be read and does not exist.
    pub fn is_absent(&self) -> bool {
        self.application.is_none() && self.from == DEFAULT && !Path::new(DEFAULT).exists()
    }

    /// Reads the application, and gets what is in a registry or at a URL.
    pub async fn read(&self) -> Result<App> {
        if let Some(path) = &self.application {
            return read_manifest(path).await;
        }
        match self.from.parse().context("--from")? {
            Origin::Manifest(path) => read_manifest(&path).await,
            Origin::Registry(reference) => {
                let pulled = pull(&reference, transport(self.insecure)).await;
                pulled.context("cannot get the application")
            }
        }
    }
}

/// Reads a manifest, and downloads the components that are at URLs.
pub async fn read_manifest(path: &Path) -> Result<App> {
    let mut app = manifest::read(path)?;
    component_download::fetch(&mut app).await?;
    Ok(app)
}

/// The transport that the flag `--insecure` selects.
pub fn transport(insecure: bool) -> Transport {
    if insecure { Transport::Plain } else { Transport::Secure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_a_reference() {
        let parse = |text: &str| text.parse::<Origin>();
        let manifest = |text: &str| Origin::Manifest(text.into());
        assert_eq!(parse("missing.toml").unwrap(), manifest("missing.toml"));
        assert_eq!(parse("src").unwrap(), manifest("src"));
        let reference = "localhost:5000/shop:1";
        let expected = Origin::Registry(parse_reference(reference).unwrap());
        assert_eq!(parse(reference).unwrap(), expected);
        let error = parse("spin.tml").unwrap_err().to_string();
        assert!(error.contains("no such file") && error.contains("REGISTRY/NAME"), "{error}");
    }
}
