//! A fast HTTP load generator: random sales over many connections, each with an `Idempotency-Key`,
//! latencies in a histogram, and every accepted sale in a ledger.

mod args;
mod connection;
mod ledger_file;
mod repeats;
mod run;
mod sales;
mod sender;
mod summary;

use std::process::ExitCode;

use anyhow::Result;
use futures::FutureExt as _;
use futures::future::BoxFuture;

pub use args::Args;
pub use run::Stop;
pub use summary::Summary;

/// Sends the load and prints the summary. The exit code says whether every request was accepted.
pub async fn main(args: Args, interrupt: BoxFuture<'static, ()>) -> Result<ExitCode> {
    let json = args.json;
    let summary = run(args, Stop::Interrupt(interrupt)).await?;
    if json {
        printing::result(serde_json::to_string(&summary)?)?;
    } else {
        printing::result(&summary)?;
    }
    Ok(if summary.all_accepted() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends the load until it is complete or stopped. The future is boxed, because otherwise every
/// crate that calls this function would compile the HTTP client again.
pub fn run(args: Args, stop: Stop) -> BoxFuture<'static, Result<Summary>> {
    run::run(args, stop).boxed()
}
