//! The processes of a contender.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use tokio::process::Command;

use crate::memory;
use crate::process::Process;

/// The running processes of one contender. They are killed when this is dropped.
pub struct Deployment {
    parts: Vec<Part>,
    address: Option<SocketAddr>,
}

struct Part {
    name: &'static str,
    process: Process,
    listen: Option<SocketAddr>,
}

impl Deployment {
    /// A deployment without processes, which will listen on this address.
    pub fn new(address: Option<SocketAddr>) -> Self {
        Self { parts: Vec::new(), address }
    }

    /// Starts a process, which will listen on this address. Its output is written to
    /// `target/bench/<log>.log`.
    pub fn add(
        &mut self,
        name: &'static str,
        log: &str,
        command: Command,
        listen: Option<SocketAddr>,
    ) -> Result<()> {
        self.parts.push(Part { name, process: Process::start(log, command)?, listen });
        Ok(())
    }

    /// The address for requests.
    pub fn address(&self) -> Result<SocketAddr> {
        self.address.context("this part has no address")
    }

    /// Waits until every process that has an address accepts connections.
    pub async fn listens(&mut self) -> Result<()> {
        for Part { name, process, listen } in &mut self.parts {
            if let Some(address) = listen {
                process.listens(*address).await.context(*name)?;
            }
        }
        Ok(())
    }

    /// Fails if a process has ended.
    pub fn check(&mut self) -> Result<()> {
        self.parts.iter_mut().try_for_each(|part| part.process.check().context(part.name))
    }

    /// The names and ids of the processes.
    pub fn pids(&self) -> Result<Vec<(&'static str, u32)>> {
        self.parts.iter().map(|part| Ok((part.name, part.process.pid()?))).collect()
    }

    /// The memory of all processes together, in MiB.
    pub fn memory_mib(&self) -> Result<f64> {
        self.pids()?.into_iter().map(|(_, pid)| memory::of_process_mib(pid)).sum()
    }

    /// Stops all, in the order in which they were started: the first hop first.
    pub async fn stop(self) -> Result<()> {
        for Part { name, process, .. } in self.parts {
            process.stop().await.context(name)?;
        }
        Ok(())
    }
}
