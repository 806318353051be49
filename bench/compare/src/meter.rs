//! Measures the CPU time of all processes that take part.

use anyhow::Result;

use crate::cpu;
use crate::deployment::Deployment;
use crate::results::Figures;
use crate::servers::Servers;

/// The CPU time of the processes when the measurement began.
pub struct Meter {
    /// Name, process id and CPU seconds.
    contender: Vec<(&'static str, u32, f64)>,
    servers: [(&'static str, u32, f64); 2],
    load_s: f64,
}

impl Meter {
    /// Begins a measurement.
    pub fn start(deployment: &Deployment, servers: &Servers) -> Result<Self> {
        let now = |(name, pid)| Ok((name, pid, cpu::of_process(pid)?));
        Ok(Self {
            contender: deployment.pids()?.into_iter().map(now).collect::<Result<_>>()?,
            servers: [now(("kafka", servers.kafka.pid()))?, now(("valkey", servers.valkey.pid()))?],
            load_s: cpu::of_ended_children()?,
        })
    }

    /// The CPU seconds since then, per 100,000 of `sales`: `<process>_cpu_s` of each process, and
    /// `contender_cpu_s` of all processes of the contender together. The load generator must have
    /// been started since then, and have ended.
    pub fn per_100_000(&self, sales: u64) -> Result<Figures> {
        let per_sale = |seconds: f64| seconds * 100_000.0 / sales as f64;
        let used = |(name, pid, before): &(&str, u32, f64)| -> Result<(String, f64)> {
            Ok((format!("{name}_cpu_s"), per_sale(cpu::of_process(*pid)? - before)))
        };
        let mut figures: Figures = self.contender.iter().map(used).collect::<Result<_>>()?;
        figures.insert("contender_cpu_s".into(), figures.values().sum());
        for server in &self.servers {
            figures.extend([used(server)?]);
        }
        figures.insert("load_cpu_s".into(), per_sale(cpu::of_ended_children()? - self.load_s));
        Ok(figures)
    }
}
