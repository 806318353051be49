//! Where an application comes from: a manifest, a registry, or the image that runs it.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, Result};
use component_host::{App, manifest};
use registry::{Reference, Transport, parse_reference, pull};

/// Which application.
#[derive(Clone, clap::Args)]
pub struct Source {
    /// The application: its manifest, or its artifact in a registry, REGISTRY/NAME[:TAG].
    #[arg(short = 'f', long, value_name = "FILE|REF", default_value = "spin.toml")]
    from: Origin,
    /// Take this manifest, whatever --from says: for an image that brings its application.
    #[arg(long, value_name = "FILE", env = "DOORBUSTER_APPLICATION")]
    application: Option<PathBuf>,
    /// Speak plain HTTP to the registry, as is done anyway to one on this machine.
    #[arg(short = 'k', long)]
    insecure: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Manifest(PathBuf),
    Registry(Reference),
}

impl FromStr for Origin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if path.exists() || path.extension().is_some_and(|extension| extension == "toml") {
            return Ok(Origin::Manifest(path.into()));
        }
        let reference = parse_reference(text).map(Origin::Registry);
        reference.map_err(|error| format!("there is no such file, and {error}"))
    }
}

impl Source {
    /// Reads it, over the network if need be.
    pub async fn read(&self) -> Result<App> {
        let from = self.application.clone().map(Origin::Manifest);
        match from.as_ref().unwrap_or(&self.from) {
            Origin::Manifest(path) => Ok(manifest::read(path)?),
            Origin::Registry(reference) => {
                let pulled = pull(reference, transport(self.insecure)).await;
                pulled.context("cannot get the application")
            }
        }
    }
}

/// As the flag `--insecure` has it.
pub fn transport(insecure: bool) -> Transport {
    if insecure { Transport::Plain } else { Transport::Secure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_a_reference() {
        let parse = |text: &str| text.parse::<Origin>();
        assert_eq!(parse("missing.toml"), Ok(Origin::Manifest("missing.toml".into())));
        assert_eq!(parse("src"), Ok(Origin::Manifest("src".into())));
        let reference = "localhost:5000/shop:1";
        assert_eq!(parse(reference), Ok(Origin::Registry(parse_reference(reference).unwrap())));
        let error = parse("spin.tml").unwrap_err();
        assert!(error.contains("no such file") && error.contains("REGISTRY/NAME"), "{error}");
    }
}
