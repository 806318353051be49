//! The folder and the command of a broker, which can be started repeatedly.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::kafka::java::Java;
use crate::kafka::properties::Properties;
use crate::security::Secured;
use child_server::Process;

/// A formatted folder, and the command that runs a broker on it.
pub(crate) struct Node {
    pub java: Java,
    pub properties: Properties,
    jvm: &'static [&'static str],
    dir: PathBuf,
    /// Removed when this is dropped.
    temporary: Option<TempDir>,
}

impl Node {
    /// Installs Kafka if it is missing, writes the properties, and formats the folder if that has
    /// not been done. If no folder is specified, the node gets a temporary one.
    pub async fn prepare(
        properties: Properties,
        jvm: &'static [&'static str],
        dir: Option<PathBuf>,
    ) -> Result<Self> {
        let runtime = Handle::current();
        let prepare = move || Self::format(Java::install(&runtime)?, properties, jvm, dir);
        tokio::task::spawn_blocking(prepare).await?
    }

    /// The same with a Java that is already installed. Blocks.
    pub fn format(
        java: Java,
        properties: Properties,
        jvm: &'static [&'static str],
        dir: Option<PathBuf>,
    ) -> Result<Self> {
        let (dir, temporary) = match dir {
            Some(dir) => (dir, None),
            None => {
                let temporary = TempDir::with_prefix("kafka-")?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let dir = dir.canonicalize()?;
        let (file, data) = (properties_file(&dir), dir.join("data"));
        fs::write(&file, properties.text(&data))
            .with_context(|| format!("cannot write {}", file.display()))?;
        if !data.join("meta.properties").exists() {
            java.format(&file, &properties.format_args())?;
        }
        Ok(Self { java, properties, jvm, dir, temporary })
    }

    /// The folder of its records and metadata.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Starts the broker, which accepts connections only later.
    pub fn launch(&self) -> Result<Process> {
        let secured = self.properties.secured.as_ref().and_then(Secured::jvm_options);
        let options: Vec<&str> = self.jvm.iter().copied().chain(secured.as_deref()).collect();
        let mut command = self.java.broker(&options, &properties_file(&self.dir));
        command.current_dir(&self.dir);
        Process::start(
            "kafka",
            command.into(),
            &self.dir.join("kafka.log"),
            self.temporary.as_ref(),
        )
    }
}

fn properties_file(dir: &Path) -> PathBuf {
    dir.join("server.properties")
}
