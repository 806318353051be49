//! Runs the load generator, as a separate process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use tokio::process::Command;

use crate::contender::program;
use crate::results::Figures;

/// A load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The server.
    pub address: SocketAddr,
    /// Connections, each with one request at a time.
    pub connections: u32,
    /// Duration in seconds.
    pub seconds: u64,
    /// Requests per second; None for as many as are answered.
    pub rate: Option<u64>,
    /// Whether requests have an `Idempotency-Key`.
    pub keys: bool,
}

/// The used fields of the output of `doorbuster load --json`.
#[derive(Debug, Deserialize)]
pub struct Summary {
    /// Number of requests.
    pub requests: u64,
    /// Number of accepted requests.
    pub accepted: u64,
    /// Number of other requests, by their status or error.
    pub failed: BTreeMap<String, u64>,
    /// Duration in seconds.
    pub elapsed_s: f64,
    /// Accepted requests per second.
    pub accepted_per_s: f64,
    /// Percentiles of the time from when a request was due.
    latency_ms: BTreeMap<String, f64>,
    /// Percentiles of the time in which a request was refused.
    #[serde(default)]
    refusal_ms: BTreeMap<String, f64>,
}

impl Load {
    /// As many requests with keys as the server answers.
    pub fn closed(address: SocketAddr, connections: u32, seconds: u64) -> Self {
        Self { address, connections, seconds, rate: None, keys: true }
    }

    /// Sends the load. Fails if a request failed, because such a measurement would not be
    /// comparable.
    pub async fn run(&self) -> Result<Summary> {
        let summary = self.run_with_failures().await?;
        ensure!(
            summary.accepted == summary.requests && summary.accepted > 0,
            "{} of {} requests were not accepted: {:?}",
            summary.requests - summary.accepted,
            summary.requests,
            summary.failed
        );
        Ok(summary)
    }

    /// Sends the load, in which requests may fail.
    pub async fn run_with_failures(&self) -> Result<Summary> {
        let Self { address, connections, seconds, rate, keys } = self;
        let mut command = Command::new(program("doorbuster")?);
        command.args(["load", "--json", "--url", &format!("http://{address}/purchase")]);
        command.args(["--seconds", &seconds.to_string()]);
        command.args(["--connections", &connections.to_string()]);
        if let Some(rate) = rate {
            command.args(["--rate", &rate.to_string()]);
        }
        if !keys {
            command.arg("--without-keys");
        }
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
        let output = output.context("cannot run `doorbuster load`")?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("`doorbuster load` failed: {}", String::from_utf8_lossy(&output.stderr))
        })
    }
}

impl Summary {
    /// The throughput, the share of requests that were not accepted, and the latencies:
    /// `accepted_per_s`, `failed_share`, `p50_ms`, `p99_ms` and so on.
    pub fn figures(&self) -> Figures {
        let percentiles = |prefix: &'static str, of: &BTreeMap<String, f64>| {
            let named = of.iter().map(|(name, ms)| (format!("{prefix}{name}_ms"), *ms));
            named.collect::<Vec<_>>()
        };
        let failed = self.requests - self.accepted;
        let mut figures = Figures::from([
            ("accepted_per_s".into(), self.accepted_per_s),
            ("failed_share".into(), failed as f64 / self.requests.max(1) as f64),
        ]);
        figures.extend(percentiles("", &self.latency_ms));
        figures.extend(percentiles("refusal_", &self.refusal_ms));
        figures
    }
}
