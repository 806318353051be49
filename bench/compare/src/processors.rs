//! Divides the processors between the load generator and everything else. Otherwise a load that
//! exceeds what the contender can accept takes away the contender's processors.

use std::fs;

use anyhow::{Context as _, Result};
use nix::errno::Errno;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::servers::Servers;

/// The processors of this program, in two parts.
pub struct Processors {
    all: CpuSet,
    load: CpuSet,
    others: CpuSet,
}

impl Processors {
    /// One half for each part. With a single processor, both parts are that one.
    pub fn divide() -> Result<Self> {
        let all = sched_getaffinity(Pid::from_raw(0)).context("the processors are not known")?;
        let mut numbers = Vec::new();
        for number in 0..CpuSet::count() {
            if all.is_set(number)? {
                numbers.push(number);
            }
        }
        let (others, load) = match numbers.split_at(numbers.len() / 2) {
            ([], load) => (load, load),
            parts => parts,
        };
        Ok(Self { all, load: set(load)?, others: set(others)? })
    }

    /// Programs that are started from now on use those of the contender, as the servers do.
    pub fn start_contender(&self, servers: &Servers) -> Result<()> {
        assign(servers.kafka.pid(), &self.others)?;
        assign(servers.valkey.pid(), &self.others)?;
        assign(std::process::id(), &self.others)
    }

    /// Programs that are started from now on use those of the load generator.
    pub fn start_load(&self) -> Result<()> {
        assign(std::process::id(), &self.load)
    }

    /// This program and the servers use all of them again.
    pub fn unite(&self, servers: &Servers) -> Result<()> {
        assign(servers.kafka.pid(), &self.all)?;
        assign(servers.valkey.pid(), &self.all)?;
        assign(std::process::id(), &self.all)
    }
}

fn set(numbers: &[usize]) -> Result<CpuSet> {
    let mut set = CpuSet::new();
    for number in numbers {
        set.set(*number)?;
    }
    Ok(set)
}

/// Makes all threads of a process run on these processors. Threads and processes that it starts
/// later inherit them.
fn assign(pid: u32, processors: &CpuSet) -> Result<()> {
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("cannot read {tasks}"))? {
        let Some(task) = task?.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        match sched_setaffinity(Pid::from_raw(task), processors) {
            // The thread has ended.
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(error) => return Err(error).with_context(|| format!("processors of {pid}")),
        }
    }
    Ok(())
}
