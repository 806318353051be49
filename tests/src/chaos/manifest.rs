//! The manifests of the members: those of the project, with additional settings.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::words;
use crate::{Wiring, root};

/// Additional settings. A member that is silent for six seconds, the minimum in Kafka, loses its
/// partitions.
const SETTINGS: &str =
    "session_timeout_ms = 6000\ndrain_deadline_ms = 3000\nretry_backoff_max_ms = 1000";

/// What may differ from the built pipeline.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The component of the aggregator; None for the one that was built.
    pub aggregator: Option<PathBuf>,
    /// The component of the second function; None for the one that was built.
    pub words: Option<PathBuf>,
}

/// Writes the manifest of a wiring.
pub fn manifest(wiring: Wiring, setup: &Setup, folder: &Path) -> Result<PathBuf> {
    let mut text = std::fs::read_to_string(root().join(wiring.manifest()))?;
    let brokers = "\nbrokers = \"{{ kafka_brokers }}\"\n";
    ensure!(text.matches(brokers).count() == 1, "the manifest has no place for settings");
    text = text.replace(brokers, &format!("{brokers}{SETTINGS}\n"));
    text.push_str(&words::manifest());
    let others = [
        ("target/components/aggregator.wasm", &setup.aggregator),
        (words::COMPONENT, &setup.words),
    ];
    for (built, other) in others {
        if let Some(other) = other {
            text = text.replace(built, &other.to_string_lossy());
        }
    }
    let components = root().join("target/components");
    text = text.replace("\"target/components/", &format!("\"{}/", components.display()));
    let file = folder.join(wiring.manifest());
    std::fs::write(&file, text)?;
    Ok(file)
}
