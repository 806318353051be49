//! The same pipeline without WebAssembly: `accept` is ingest to Kafka, `drain` is Kafka to
//! Valkey. Both do the work that the components do, with the same pure crates and the same
//! producer, so that what is measured between them and ours is the host and the components.

mod accept;
mod door;
mod drain;
mod partition;
mod store;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Requests come and go on several threads, in small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Ours without WebAssembly.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Accept(accept::Args),
    Drain(drain::Args),
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().command {
        Command::Accept(args) => accept::run(args),
        Command::Drain(args) => drain::run(&args),
    }
}
