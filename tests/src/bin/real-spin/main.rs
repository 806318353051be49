//! Runs applications in a real Spin: `cargo xtask spin --spin PATH`.

mod gateway;
mod hosts;
mod middleware;
mod pipeline;
mod spin;
mod stores;
mod templates;
mod university;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Parser, ValueEnum as _};
use test_servers::{Kafka, KafkaConfig};

use crate::spin::Spin;

/// Installs the packed plugin in a Spin, runs the pipeline in it on real servers, and checks that
/// every sale is counted once. Then compares the answers of other applications in Spin and in `doorbuster
/// up`: each middleware, also all of them together, databases and stores, and components as Spin's
/// templates make them.
#[derive(Parser)]
#[command(name = "cargo xtask spin")]
struct Args {
    /// Spin 4.1 or newer.
    #[arg(long, value_name = "PATH", default_value = "spin")]
    spin: PathBuf,
    /// The application, from the project's root.
    #[arg(short = 'f', long, value_name = "FILE", default_value = "spin.toml")]
    from: PathBuf,
    /// Sales to send.
    #[arg(short = 'n', long, value_name = "SALES", default_value_t = 20_000)]
    sales: u64,
    /// Connections to send them over.
    #[arg(short, long, value_name = "CONNECTIONS", default_value_t = 16)]
    connections: usize,
    /// Only compare these applications.
    #[arg(long, value_enum, value_name = "APPLICATION")]
    only: Vec<Compared>,
}

/// An application that runs in both hosts.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Compared {
    /// `examples/guarded-orders`: `jwt` and `rate-limit`.
    GuardedOrders,
    /// `retry`, `breaker`, `cache` and `balance`.
    Gateway,
    /// Databases and stores.
    Stores,
    /// Components as Spin's templates make them.
    Templates,
    /// `examples/university`: all middleware, with `tasks` and `analytics`, before `balance` and a service.
    University,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let spin = Spin::new(args.spin).await?;
    let kafka = Kafka::start(KafkaConfig::default()).await?;
    if args.only.is_empty() {
        spin.answers_for_the_plugin(&args.from).await?;
        pipeline::check(&spin, &kafka, &args.from, args.sales, args.connections).await?;
    }
    for compared in Compared::value_variants() {
        if args.only.is_empty() || args.only.contains(compared) {
            match compared {
                Compared::GuardedOrders => middleware::compare(&spin, &kafka).await?,
                Compared::Gateway => gateway::compare(&spin, &kafka).await?,
                Compared::Stores => stores::compare(&spin, &kafka).await?,
                Compared::Templates => templates::compare(&spin, &kafka).await?,
                Compared::University => university::compare(&spin, &kafka).await?,
            }
        }
    }
    Ok(())
}
