//! The fault suite in its long form: `cargo xtask chaos --minutes N --seed S`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use pipeline_tests::chaos::{Books, Episode, Outcome, Report, Schedule, Setup, World};
use tokio::signal::unix::{SignalKind, signal};

/// Inject random faults under load, and compare the counts with the ledger after each.
#[derive(Parser)]
#[command(name = "cargo xtask chaos")]
struct Args {
    /// Duration in minutes.
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,
    /// Seed of the faults to repeat; random by default.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Inject only faults whose description contains one of these texts.
    #[arg(long, value_name = "TEXT[,…]", value_delimiter = ',', default_value = "")]
    only: Vec<String>,
    /// File to which the page with the results is written.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args = Args::parse();
    let mut terminate = signal(SignalKind::terminate())?;
    // A signal ends the run. Dropping its future ends every process that it started.
    tokio::select! {
        agrees = run(args) => {
            Ok(if agrees? { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

/// Returns whether the books agreed until the end.
async fn run(args: Args) -> Result<bool> {
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let profile = if cfg!(debug_assertions) { " in the profile that compiles fast" } else { "" };
    let run = format!("`cargo xtask chaos --minutes {} --seed {seed}`{profile}", args.minutes);
    println!("{run}");
    let schedule =
        Schedule::new(seed, |fault| args.only.iter().any(|text| fault.describe().contains(text)));
    let mut world = World::start(&Setup::default()).await?;
    let (mut books, mut report) = (Books::default(), Report::default());
    let (begun, length) = (Instant::now(), Duration::from_secs(60 * args.minutes));
    let (mut agrees, mut shortened) = (true, false);
    for (fault, seed) in schedule.context("no fault is described so")? {
        if begun.elapsed() >= length || !agrees {
            break;
        }
        if shortened && !fault.shortens_log() {
            world = World::start(&Setup::default()).await?;
            books = Books::default();
        }
        shortened = fault.shortens_log();
        let outcome = Episode { fault, seed }.run(&mut world, &mut books).await;
        let outcome = outcome.with_context(|| format!("{}\n{}", fault.describe(), world.logs()))?;
        agrees = outcome.verdict.agrees();
        print(begun.elapsed(), &outcome);
        report.enter(&outcome);
    }
    println!("\n{}", report.table());
    if !agrees {
        println!("{}\n{}", world.stand().await?, world.logs());
    }
    if let Some(file) = args.report {
        std::fs::write(&file, report.page(&run))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(agrees)
}

fn print(at: Duration, Outcome { fault, passed, verdict }: &Outcome) {
    println!(
        "{:>5} s  sales {:>6}  lost {}  doubled {}  texts {:>5}  lost {}  doubled {}  \
         recovered in {:.1} s  {}",
        at.as_secs(),
        passed.accepted,
        verdict.sales.lost,
        verdict.sales.doubled,
        passed.texts,
        verdict.texts.lost,
        verdict.texts.doubled,
        passed.recovery.as_secs_f64(),
        fault.describe(),
    );
    for difference in &verdict.differences {
        println!("{difference:?}");
    }
}
