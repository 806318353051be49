//! `doorbuster`: runs an application of components, generates load, and verifies the counts.

mod application;
mod audit;
mod brokers;
mod bytes;
mod capture;
mod compose;
mod dlq;
mod new;
mod produce;
mod push;
mod records;
mod recount;
#[cfg(test)]
mod reference;
mod replay;
mod shadow;
mod source;
mod test;
mod up;
mod verify;
mod why;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};
use runner::environment::without_empty;
use runner::{MetricsExport, shutdown};

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

/// The commands. Their help texts are the doc comments of their arguments.
#[derive(Subcommand)]
enum Command {
    Up(Box<up::Args>),
    Load(load::Args),
    Verify(verify::Args),
    Audit(audit::Args),
    Why(why::Args),
    Shadow(shadow::Args),
    Top(top::Args),
    Replay(replay::Args),
    Dlq(dlq::Args),
    New(new::Args),
    Test(test::Args),
    Capture(capture::Args),
    Produce(produce::Args),
    Push(push::Args),
    Compose(compose::Args),
}

fn main() -> ExitCode {
    let matches = without_empty(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match runner::program::run(env!("CARGO_BIN_NAME"), |metrics| run(cli.command, metrics)) {
        Ok(code) => code,
        Err(error) => printing::failure(&error),
    }
}

async fn run(command: Command, metrics: Option<MetricsExport>) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => up::run(*args, metrics).await,
        Command::Load(args) => load::main(args, Box::pin(shutdown::signal())).await,
        Command::Verify(args) => verify::main(args).await,
        Command::Audit(args) => audit::main(args, metrics).await,
        Command::Why(args) => why::main(args).await,
        Command::Shadow(args) => shadow::main(args).await,
        Command::Top(args) => top::main(args, Box::pin(shutdown::signal())).await,
        Command::Replay(args) => replay::main(args).await,
        Command::Dlq(args) => dlq::main(args).await,
        Command::New(args) => new::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Test(args) => test::main(args).await,
        Command::Capture(args) => capture::main(args).await,
        Command::Produce(args) => produce::main(args).await,
        Command::Push(args) => push::run(args).await.map(|()| ExitCode::SUCCESS),
        Command::Compose(args) => compose::run(&args).map(|()| ExitCode::SUCCESS),
    }
}
