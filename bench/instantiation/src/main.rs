//! Creates instances of one component with the host of Doorbuster, in a process of its own, and
//! prints how long it takes and how much memory each needs. `bench` runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use component_host::output::Outputs;
use component_host::{Capability, CompileCache, Guest, Host, Limits};
use hdrhistogram::Histogram;
use host_producer::ProducerConfig;
use kafka_trigger::ProducerCapability;
use serde_json::json;
use spin_app::manifest;
use spin_app::variables::Variables;

/// The allocator of `doorbuster`.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Instances that exist at once while the memory is measured.
const HELD: u32 = 200;

/// Instances that are created, and dropped at once, while the time is measured.
const TIMED: u32 = 5_000;

/// Measure how long an instance takes to create, and how much memory it needs.
#[derive(Parser)]
struct Args {
    /// The manifest.
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// The component.
    #[arg(long, value_name = "ID")]
    component_id: String,
    /// Bootstrap brokers of Kafka, for the producer that the host provides.
    #[arg(long, value_name = "HOST:PORT")]
    kafka: String,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let guest = load(&args)?;
    let (first, before) = (guest.instantiate().await?, resident_kib()?);
    let mut held = Vec::new();
    for _ in 0..HELD {
        held.push(guest.instantiate().await?);
    }
    let memory_kib = (resident_kib()? - before) / f64::from(HELD);
    drop((first, held));

    let mut times_ns = Histogram::<u64>::new(3)?;
    for _ in 0..TIMED {
        let begun = Instant::now();
        let instance = guest.instantiate().await?;
        times_ns.record(u64::try_from(begun.elapsed().as_nanos())?)?;
        drop(instance);
    }
    let us = |quantile| times_ns.value_at_quantile(quantile) as f64 / 1_000.0;
    let figures = json!({ "p50_us": us(0.5), "p99_us": us(0.99), "memory_kib": memory_kib });
    Ok(printing::result(figures)?)
}

fn load(args: &Args) -> Result<Guest> {
    let app = manifest::read(&args.from)?;
    let variables = Variables::resolve(&app.variables, |name| {
        (name == "kafka_brokers").then(|| args.kafka.clone())
    })?;
    let producer = ProducerCapability::new(ProducerConfig::new(args.kafka.clone()))?;
    let capability: Arc<dyn Capability> = Arc::new(producer);
    let (limits, outputs) = (Limits::default(), Outputs::default());
    let cache = CompileCache::UserFolder;
    let host = Host::load(&app, &variables, limits, outputs, &cache, &[capability])?;
    let id = &args.component_id;
    host.guest(id).with_context(|| format!("no trigger of the application starts `{id}`"))
}

/// The resident memory of this process.
fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.context("/proc/self/status has no VmRSS")
}
