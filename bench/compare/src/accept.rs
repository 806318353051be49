//! Measures the request path: from the HTTP request to the broker's acknowledgement.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use serde::{Deserialize, Serialize};
use tokio::process::Command;

use crate::args::Args;
use crate::contender::{Contender, program};
use crate::cpu;
use crate::process::Process;
use crate::servers::Servers;

const TOPIC: &str = "bench-accept";

/// The same number of partitions that `doorbuster up` creates.
pub const PARTITIONS: i32 = 3;

/// Load before the measurement, which warms up the caches of the contender, in seconds.
const WARM_UP_SECONDS: u64 = 2;

/// Numbers of connections of the loads before the first turn, and their duration.
const WARM_UP_CONNECTIONS: [u32; 2] = [50, 200];
const BROKER_WARM_UP_SECONDS: u64 = 5;

/// The result of one load on one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Accept {
    /// The measured contender.
    pub contender: Contender,
    /// Connections, each with one request at a time.
    pub connections: u32,
    /// Accepted sales per second.
    pub accepted_per_s: f64,
    /// Median latency, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile of the latency, in milliseconds.
    pub p99_ms: f64,
    /// CPU seconds per 100,000 accepted sales, by process.
    pub cpu_s: AcceptCpu,
}

/// CPU seconds per 100,000 accepted sales.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct AcceptCpu {
    /// The contender.
    pub server: f64,
    /// The load generator.
    pub load: f64,
    /// The broker.
    pub kafka: f64,
}

/// The used fields of the output of `doorbuster load --json`.
#[derive(Deserialize)]
struct Summary {
    requests: u64,
    accepted: u64,
    accepted_per_s: f64,
    latency_ms: Latency,
}

#[derive(Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
}

/// Creates the topic, and loads the broker until the JVM has compiled its code. A cold broker would
/// slow down the contender that is measured first.
pub async fn warm_up(servers: &Servers) -> Result<()> {
    ensure_topic(&ProducerConfig::new(servers.brokers()), NewTopic::new(TOPIC, PARTITIONS)).await?;
    let (server, address) = Contender::Native.start_accept(TOPIC, servers).await?;
    for connections in WARM_UP_CONNECTIONS {
        load(address, connections, BROKER_WARM_UP_SECONDS).await?;
    }
    server.stop().await
}

/// One turn: all loads on one contender.
pub async fn measure(contender: Contender, args: &Args, servers: &Servers) -> Result<Vec<Accept>> {
    let (server, address) = contender.start_accept(TOPIC, servers).await?;
    let mut accepts = Vec::with_capacity(args.connections.len());
    for &connections in &args.connections {
        accepts.push(one_load(contender, &server, address, connections, args, servers).await?);
    }
    server.stop().await?;
    Ok(accepts)
}

/// One load on a running contender, after a short one that warms it up.
pub async fn one_load(
    contender: Contender,
    server: &Process,
    address: SocketAddr,
    connections: u32,
    args: &Args,
    servers: &Servers,
) -> Result<Accept> {
    let pid = server.pid()?;
    load(address, connections, WARM_UP_SECONDS).await?;
    let before = [cpu::of_process(pid)?, cpu::of_ended_children()?, kafka_cpu(servers)?];
    let summary = load(address, connections, args.seconds)
        .await
        .with_context(|| format!("{contender} at {connections} connections"))?;
    let after = [cpu::of_process(pid)?, cpu::of_ended_children()?, kafka_cpu(servers)?];
    let [server, load, kafka] = cpu::per_100_000(before, after, summary.accepted);
    Ok(Accept {
        contender,
        connections,
        accepted_per_s: summary.accepted_per_s,
        p50_ms: summary.latency_ms.p50,
        p99_ms: summary.latency_ms.p99,
        cpu_s: AcceptCpu { server, load, kafka },
    })
}

fn kafka_cpu(servers: &Servers) -> Result<f64> {
    cpu::of_process(servers.kafka.pid())
}

/// Runs the load generator as a separate process. Fails if a request failed, because such a
/// measurement would not be comparable.
async fn load(address: SocketAddr, connections: u32, seconds: u64) -> Result<Summary> {
    let output = Command::new(program("doorbuster")?)
        .args(["load", "--json", "--url", &format!("http://{address}/purchase")])
        .args(["--seconds", &seconds.to_string(), "--connections", &connections.to_string()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run `doorbuster load`")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let summary: Summary = serde_json::from_str(&text).with_context(|| {
        format!("`doorbuster load` failed: {}", String::from_utf8_lossy(&output.stderr))
    })?;
    ensure!(
        summary.accepted == summary.requests && summary.accepted > 0,
        "{} of {} requests were not accepted: {}",
        summary.requests - summary.accepted,
        summary.requests,
        text.trim()
    );
    Ok(summary)
}
