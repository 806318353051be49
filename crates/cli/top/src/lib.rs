//! `doorbuster top`: the figures of a running pipeline in a terminal.
//!
//! The figures of the sales come from the read API of the application, those of the pipeline from
//! the operator ports of its processes. [`sources`] reads them, [`state`] keeps the latest answers,
//! [`view`] turns them into texts, and [`draw`] and [`plain`] show these on a terminal and as plain
//! text.

mod args;
mod client;
mod draw;
mod error;
mod help;
mod interactive;
mod keys;
mod latency;
mod metrics;
mod once;
mod panels;
mod plain;
mod snapshot;
mod sources;
mod state;
mod table;
mod terminal;
#[cfg(test)]
mod testing;
mod text;
mod view;
mod window;

use std::io::{IsTerminal as _, stdout};
use std::process::ExitCode;

use anyhow::{Result, ensure};
use futures::future::BoxFuture;

pub use args::Args;
use sources::Sources;

/// The most operator ports; each is read twice a second.
const OPERATORS_MAX: usize = 256;

/// Shows the figures until the user quits or `interrupt` resolves. With `--once`, and if standard
/// output is not a terminal, prints them once; the exit code then says whether the pipeline is
/// healthy.
pub async fn main(args: Args, interrupt: BoxFuture<'static, ()>) -> Result<ExitCode> {
    let operators = args.operator.len();
    ensure!(
        operators <= OPERATORS_MAX,
        "--operator was given {operators} times, at most {OPERATORS_MAX} are read"
    );
    let sources = Sources::new(args.url, args.operator);
    if args.once || !stdout().is_terminal() {
        return once::run(&sources, interrupt).await;
    }
    interactive::run(sources, interrupt).await
}
