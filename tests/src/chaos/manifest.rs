//! The manifests of the members: those of the project, with additional settings.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::windows;
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
}

/// Writes the manifest of a wiring.
pub fn manifest(wiring: Wiring, setup: &Setup, folder: &Path) -> Result<PathBuf> {
    let mut text = std::fs::read_to_string(root().join(wiring.manifest()))?;
    let brokers = "\nbrokers = \"{{ kafka_brokers }}\"\n";
    ensure!(text.matches(brokers).count() == 1, "the manifest has no place for settings");
    text = text.replace(brokers, &format!("{brokers}{SETTINGS}\n"));
    if let Some(aggregator) = &setup.aggregator {
        let other = aggregator.to_string_lossy();
        text = text.replace("target/components/aggregator.wasm", &other);
    }
    text.push_str(windows::MANIFEST);
    let components = root().join("target/components");
    text = text.replace("\"target/components/", &format!("\"{}/", components.display()));
    let file = folder.join(wiring.manifest());
    std::fs::write(&file, text)?;
    Ok(file)
}
