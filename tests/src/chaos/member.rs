//! A process of the pipeline.

use anyhow::{Context as _, Result};
use nix::sys::signal::Signal;

use crate::{Launch, Pipeline};

/// A process that can be killed and started again.
pub struct Member {
    launch: Launch,
    pipeline: Option<Pipeline>,
}

impl Member {
    /// Starts the process.
    pub async fn start(launch: Launch) -> Result<Self> {
        let pipeline = Pipeline::launch(&launch).await?;
        Ok(Self { launch, pipeline: Some(pipeline) })
    }

    fn running(&self) -> Result<&Pipeline> {
        self.pipeline.as_ref().context("the process does not run")
    }

    /// The port of its HTTP components.
    pub fn port(&self) -> Result<u16> {
        self.running()?.port()
    }

    /// Pauses the process with SIGSTOP.
    pub fn pause(&self) -> Result<()> {
        self.running()?.signal(Signal::SIGSTOP)
    }

    /// Continues the process with SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.running()?.signal(Signal::SIGCONT)
    }

    /// Kills the process.
    pub async fn kill(&mut self) -> Result<()> {
        self.pipeline.take().context("the process does not run")?.kill().await
    }

    /// Stops the process with SIGTERM.
    pub async fn stop(&mut self) -> Result<()> {
        self.pipeline.take().context("the process does not run")?.stop().await
    }

    /// Starts the process again.
    pub async fn come_back(&mut self) -> Result<()> {
        self.pipeline = Some(Pipeline::launch(&self.launch).await?);
        Ok(())
    }

    /// What it wrote to stderr since its last start.
    pub fn log(&self) -> String {
        self.pipeline.as_ref().map(Pipeline::log).unwrap_or_default()
    }
}
