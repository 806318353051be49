//! Runs applications in a real Spin: `cargo xtask spin --spin PATH`.

mod middleware;
mod pipeline;
mod spin;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;
use test_servers::{Kafka, KafkaConfig};

use crate::spin::Spin;

/// Installs the packed plugin in a Spin, runs the pipeline in it on real servers, and checks that
/// every sale is counted once. Then compares the answers of `examples/guarded-orders` in Spin and in
/// `doorbuster up`.
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
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    let spin = Spin::new(args.spin).await?;
    spin.answers_for_the_plugin(&args.from).await?;
    let kafka = Kafka::start(KafkaConfig::default()).await?;
    pipeline::check(&spin, &kafka, &args.from, args.sales, args.connections).await?;
    middleware::compare(&spin, &kafka).await
}
