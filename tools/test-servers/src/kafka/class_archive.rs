//! The archive of loaded classes (application class-data sharing) with which each JVM of Kafka
//! starts.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::kafka::java::{self, Java};
use crate::kafka::node::Node;
use crate::kafka::{Kafka, KafkaConfig};

/// Runs a broker for a short time and writes the classes that it loaded to `archive`. The file is
/// empty if this JVM cannot write an archive.
pub async fn write(java: Java, archive: &Path) -> Result<()> {
    // The archive is renamed at the end, so that an incomplete one is never used.
    let unfinished = archive.with_extension("unfinished");
    let properties = Kafka::alone(KafkaConfig::default())?;
    let mut node = Node::format(java.clone(), properties, java::QUICK, None)?;
    node.java = java.writing_archive(&unfinished);
    let mut broker = Kafka::launch(node)?;
    broker.ready().await?;
    broker.stop().await?;
    if !unfinished.exists() {
        tracing::warn!("this JVM cannot write a class archive: every broker will start slowly");
        fs::write(&unfinished, "")?;
    }
    fs::rename(unfinished, archive).context("cannot finish the class archive")
}
