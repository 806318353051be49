//! The archive of loaded classes that every JVM of Kafka starts from.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::kafka::java::{self, Java};
use crate::kafka::node::Node;
use crate::kafka::{Kafka, KafkaConfig};

/// Runs a broker for a moment and writes the classes that it loaded to `archive`: an empty file if
/// this JVM cannot write one.
pub async fn write(java: Java, archive: &Path) -> Result<()> {
    // Renamed at the end: an archive cut short by a failed run is never taken for whole.
    let unfinished = archive.with_extension("unfinished");
    let properties = Kafka::alone(KafkaConfig::default())?;
    let mut node = Node::format(java.clone(), properties, java::QUICK, None)?;
    node.java = java.writing_archive(&unfinished);
    let mut broker = Kafka::launch(node)?;
    broker.ready().await?;
    broker.stop().await?;
    if !unfinished.exists() {
        tracing::warn!("this JVM writes no class archive: every broker will start slowly");
        fs::write(&unfinished, "")?;
    }
    fs::rename(unfinished, archive).context("cannot finish the class archive")
}
