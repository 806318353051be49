//! The same pipeline without WebAssembly: `accept` is the path from ingest to Kafka, `drain` the
//! path from Kafka to Valkey. Both use the same pure crates and the same producer as the
//! components, so the difference to Doorbuster is caused by the host and the components. `hello`
//! only answers. `students` is the service of `examples/university`, with the same statements.

mod accept;
mod drain;
mod hello;
mod key_claim;
mod partition;
mod store;
mod students;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

/// Memory is allocated and freed on different threads, in small pieces.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Doorbuster's pipeline without WebAssembly.
#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Accept(accept::Args),
    Drain(drain::Args),
    Hello(hello::Args),
    Students(students::Args),
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    match Cli::parse().command {
        Command::Accept(args) => accept::run(args),
        Command::Drain(args) => drain::run(&args),
        Command::Hello(args) => hello::run(args),
        Command::Students(args) => students::run(args),
    }
}
