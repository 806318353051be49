//! `doorbuster`: runs an application of components, generates load, and verifies the counts.

mod application;
mod brokers;
mod compose;
mod dlq;
mod push;
mod replay;
mod source;
mod up;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use runner::environment::without_empty;
use runner::shutdown;

/// Several threads allocate and free small buffers for requests.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A serverless, real-time event pipeline of WebAssembly components.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run an application: its HTTP and Kafka components in one process.
    Up(Box<up::Args>),
    /// Send sales as fast as they are answered, and record which were accepted.
    Load(load::Args),
    /// Compare the accepted sales with the counts in Valkey; exit with 1 if they differ.
    Verify(ledger::verify::Args),
    /// Run a component again over a part of its topics, outside the consumer group.
    Replay(replay::Args),
    /// List, show and send back dead letters: the records that were given up.
    Dlq(dlq::Args),
    /// Push an application to an OCI registry, for `up -f` and `spin up -f`.
    Push(push::Args),
    /// Compose components into one component with a .wac file.
    Compose(compose::Args),
}

fn main() -> ExitCode {
    let matches = without_empty(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match runner::program::run(env!("CARGO_BIN_NAME"), run(cli.command)) {
        Ok(code) => code,
        Err(error) => printing::failure(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(*args).await,
        Command::Load(args) => load::main(args, Box::pin(shutdown::signal())).await,
        Command::Verify(args) => ledger::verify::main(args).await,
        Command::Replay(args) => replay::main(args).await,
        Command::Dlq(args) => dlq::main(args).await,
        Command::Push(args) => push::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Compose(args) => compose::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
