//! Measures Doorbuster, the native pipeline and other hosts in turn, on the same real Kafka and
//! Valkey, and writes medians with their spread, ratios, CPU time and memory.

mod accept;
mod analytics;
mod args;
mod bench;
mod breakdown;
mod brokers;
mod contender;
mod cpu;
mod deployment;
mod drain;
mod end_to_end;
mod fill;
mod gateway;
mod growth;
mod hello;
mod http;
mod instantiation;
mod latency;
mod load;
mod manifest;
mod memory;
mod meter;
mod overload;
mod process;
mod processors;
mod rebuild;
mod results;
mod servers;
mod start;
mod statistics;
mod store;
mod students;
mod table;
mod viewers;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use args::{Args, Measurement};
use bench::Bench;
use results::{Design, Sample};

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let args = Args::parse();
    raise_file_limit()?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Dropping the future ends every process that it started.
    tokio::select! {
        done = run(args) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

/// Thousands of connections need as many open files, in this process and in those that it starts.
fn raise_file_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("cannot raise the limit of open files")
}

async fn run(args: Args) -> Result<()> {
    // They start their own servers and kill them. `all` does not include them, because they need RabbitMQ
    // and PostgreSQL.
    if args.measurements.contains(&Measurement::Brokers) {
        brokers::measure(&args).await?;
    }
    if args.measurements.contains(&Measurement::Students) {
        students::measure(&args).await?;
    }
    let own_servers = [Measurement::Brokers, Measurement::Students];
    if args.measurements.iter().all(|measurement| own_servers.contains(measurement)) {
        return Ok(());
    }
    if args.has(Measurement::Gateway) {
        gateway::measure(&args).await?;
    }
    if args.measurements == [Measurement::Gateway] {
        return Ok(());
    }
    let bench = Bench::start(args).await?;
    accept::warm_up(&bench).await?;
    let has = |measurement| bench.args.has(measurement);
    let write =
        |design: &Design, samples: Vec<Sample>| results::write(design, &bench.args, &samples);
    if has(Measurement::Accept) {
        write(&accept::DESIGN, accept::measure(&bench).await?)?;
    }
    if has(Measurement::Breakdown) {
        write(&breakdown::DESIGN, breakdown::measure(&bench).await?)?;
    }
    if has(Measurement::Drain) {
        let (design, samples) = drain::measure(&bench).await?;
        write(&design, samples)?;
    }
    if has(Measurement::Rebuild) {
        write(&rebuild::DESIGN, rebuild::measure(&bench).await?)?;
    }
    if has(Measurement::Latency) {
        write(&latency::DESIGN, latency::measure(&bench).await?)?;
    }
    if has(Measurement::EndToEnd) {
        write(&end_to_end::DESIGN, end_to_end::measure(&bench).await?)?;
    }
    if has(Measurement::Start) {
        write(&start::DESIGN, start::measure(&bench).await?)?;
        write(&instantiation::DESIGN, instantiation::measure(&bench).await?)?;
    }
    if has(Measurement::Hello) {
        write(&hello::DESIGN, hello::measure(&bench).await?)?;
    }
    if has(Measurement::Overload) {
        write(&overload::DESIGN, overload::measure(&bench).await?)?;
    }
    if has(Measurement::Growth) {
        write(&growth::CONNECTIONS, growth::connections(&bench).await?)?;
        write(&growth::PARTITION_COUNTS, growth::partitions(&bench).await?)?;
        write(&growth::LAGS, growth::lags(&bench).await?)?;
        write(&growth::PRODUCTS, growth::products(&bench).await?)?;
    }
    if has(Measurement::Viewers) {
        write(&viewers::DESIGN, viewers::measure(&bench).await?)?;
    }
    if has(Measurement::Analytics) {
        write(&analytics::DESIGN, analytics::measure(&bench).await?)?;
    }
    bench.stop().await
}
