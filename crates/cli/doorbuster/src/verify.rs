//! `doorbuster verify`: compares the counts in Valkey with a ledger, or with the log.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use ledger::verify::verify;

use crate::audit;
use crate::recount::SubjectArgs;

/// Compare the counts in Valkey with what was accepted; exit with 1 if they differ.
///
/// With --ledger, the accepted sales are those of a load test. Valkey must have been empty before
/// its requests.
///
/// Without it, they are the records of the topic: the component counts them again in a private
/// Valkey, as `doorbuster audit --once` does. The exit code is 2 if the counts could not be
/// compared.
#[derive(clap::Args)]
pub struct Args {
    /// Ledger that `doorbuster load` wrote.
    #[arg(long, value_name = "FILE", requires = "valkey")]
    ledger: Option<PathBuf>,
    /// Start of the names of the keys: the value of the aggregator's variable `key_prefix`. Without
    /// --ledger, that variable is used.
    #[arg(long, value_name = "PREFIX", requires = "ledger")]
    key_prefix: Option<String>,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Time in seconds without a new count after which to give up.
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

/// Compares the counts and prints the result.
pub async fn main(args: Args) -> Result<ExitCode> {
    let wait = Duration::from_secs(args.wait);
    let Some(ledger) = args.ledger else { return audit::once(&args.subject, wait).await };
    let valkey = args.subject.valkey.context("--ledger requires --valkey")?;
    let prefix = args.key_prefix.unwrap_or_default();
    let report = verify(&ledger, &valkey, &prefix, wait).await?;
    printing::result(&report)?;
    Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
