//! Creates instances of one component with the host of Doorbuster, and prints how long it takes and
//! how much memory they need. `bench` runs it as a separate process.

mod served;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::Parser;
use component_host::output::Outputs;
use component_host::{Capability, CompileCache, Guest, Host};
use hdrhistogram::Histogram;
use host_producer::ProducerConfig;
use kafka_trigger::ProducerCapability;
use serde_json::json;
use spin_app::manifest;
use spin_app::variables::Variables;
use valkey_provider::ValkeyProvider;

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
    /// The value of a variable; may be repeated.
    #[arg(long, value_name = "NAME=VALUE", value_parser = name_and_value)]
    variable: Vec<(String, String)>,
    /// Measure only the memory of instances that have served sales. The component must accept them
    /// at /purchase.
    #[arg(long)]
    served: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let host = load(&args)?;
    let figures = if args.served {
        json!({ "served_memory_kib": served::memory_kib(&host).await? })
    } else {
        let id = &args.component_id;
        let guest = host.guest(id);
        create(&guest.with_context(|| format!("no trigger starts the component `{id}`"))?).await?
    };
    Ok(printing::result(figures)?)
}

fn load(args: &Args) -> Result<Host> {
    let mut app = manifest::read(&args.from)?;
    app.retain_components(std::slice::from_ref(&args.component_id))?;
    let variables = Variables::resolve(&app.variables, |name| {
        let given = args.variable.iter().find(|(given, _)| given == name);
        given.map(|(_, value)| value.clone())
    });
    let mut capabilities: Vec<Arc<dyn Capability>> = vec![Arc::new(ValkeyProvider::default())];
    if let Some(brokers) = variables.get("kafka_brokers") {
        capabilities.push(Arc::new(ProducerCapability::new(ProducerConfig::new(brokers))?));
    }
    let (limits, outputs) = (served::limits(), Outputs::default());
    let cache = CompileCache::UserFolder;
    Ok(Host::load(&app, &variables, limits, outputs, &cache, &capabilities)?)
}

async fn create(guest: &Guest) -> Result<serde_json::Value> {
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
    Ok(json!({ "p50_us": us(0.5), "p99_us": us(0.99), "memory_kib": memory_kib }))
}

/// The resident memory of this process.
fn resident_kib() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|text| text.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.context("/proc/self/status has no VmRSS")
}
