//! Runs Doorbuster and the native pipeline in turn, on the same real Kafka and Valkey, and prints
//! medians, ratios and CPU seconds.

mod accept;
mod args;
mod contender;
mod cpu;
mod drain;
mod fill;
mod manifest;
mod process;
mod report;
mod servers;
mod viewers;

use std::fs;

use anyhow::{Context as _, Result, bail};
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use args::Args;
use contender::Contender;
use report::Report;
use servers::Servers;

#[tokio::main]
async fn main() -> Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let args = Args::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    // Dropping the future ends every process that it started.
    tokio::select! {
        done = run(&args) => done,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn run(args: &Args) -> Result<()> {
    let servers = Servers::start().await?;
    if args.viewers > 0 {
        accept::warm_up(&servers).await?;
        let report = viewers::compare(args, &servers).await?;
        return finish(args, servers, &report).await;
    }
    tracing::info!(sales = args.sales, "filling the topic and warming up the broker");
    fill::fill(&servers.brokers(), drain::TOPIC, args.sales).await?;
    accept::warm_up(&servers).await?;
    let mut report = Report::default();
    for round in 1..=args.rounds {
        for contender in Contender::ACCEPT {
            tracing::info!(round, of = args.rounds, %contender, "accept");
            report.accepts.extend(accept::measure(contender, args, &servers).await?);
        }
    }
    for round in 1..=args.rounds {
        for contender in Contender::DRAIN {
            tracing::info!(round, of = args.rounds, %contender, "drain");
            report.drains.push(drain::measure(contender, round, args, &servers).await?);
        }
    }
    finish(args, servers, &report).await
}

async fn finish(args: &Args, servers: Servers, report: &Report) -> Result<()> {
    servers.stop().await?;
    // Written before printing, so that the results are not lost if the output is closed.
    write(args, report)?;
    printing::result(report)?;
    Ok(printing::result(format_args!("All figures: {}", args.out.display()))?)
}

fn write(args: &Args, report: &Report) -> Result<()> {
    if let Some(folder) = args.out.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(&args.out, serde_json::to_vec_pretty(report)?)
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    Ok(())
}
