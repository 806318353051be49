//! `doorbuster audit`: compares the counts of a running application with a recount, repeatedly.

mod comparison;
mod gauges;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, bail};
use kafka_trigger::Operator;
use printing::{Progress, one_line};
use runner::{MetricsExport, shutdown};

use crate::recount::{Build, Gap, Positions, Subject, SubjectArgs, Topics, listed};
use comparison::{Begin, Compared, Comparison, Known, Step};
use gauges::Gauges;

/// Exit code if the counts could not be compared.
const NOT_COMPARED: u8 = 2;

/// Maximum number of differences that are printed or logged at once; the others are only counted.
const SHOWN_MAX: usize = 20;

/// Pause before a comparison that failed is repeated.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Interval at which the positions are read while the application counts.
const POLL: Duration = Duration::from_millis(200);

/// Compare the counts of a running application with a recount of its topics, again and again.
///
/// The component of the trigger counts every record again in a private Valkey, which this program
/// starts. The consumer group is not joined, and the application's Valkey is only read. Every value
/// is compared at the same position in the log, so the application may go on counting. A value that
/// differs is logged with the ranges of offsets in which the difference arose.
///
/// The log must contain every record that was counted, or --from-present must be given.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    subject: SubjectArgs,
    /// Compare every value once, and exit with 0 if all are equal, with 1 if not, and with 2 if
    /// they could not be compared.
    #[arg(long)]
    once: bool,
    /// Time in seconds without progress of the application after which --once compares what it has
    /// counted.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, requires = "once")]
    wait: u64,
    /// Begin with a copy of what is stored at present. It is assumed to be right, and only later
    /// changes are compared with the log.
    #[arg(long, conflicts_with = "once")]
    from_present: bool,
    /// Pause in seconds between two comparisons.
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    interval: u64,
    /// Serve /metrics and /healthz at this address.
    #[arg(long, value_name = "HOST:PORT", conflicts_with = "once")]
    operator: Option<SocketAddr>,
}

/// Runs until a signal is received.
pub async fn main(args: Args, metrics: Option<MetricsExport>) -> Result<ExitCode> {
    let audit = async {
        if args.once {
            return once(&args.subject, Duration::from_secs(args.wait)).await;
        }
        forever(&args, metrics).await
    };
    tokio::select! {
        biased;
        () = shutdown::signal() => {
            Ok(if args.once { NOT_COMPARED.into() } else { ExitCode::SUCCESS })
        }
        ended = audit => ended,
    }
}

/// Compares every value once, and prints the result.
pub async fn once(args: &SubjectArgs, wait: Duration) -> Result<ExitCode> {
    match compare_once(args, wait).await {
        Ok(report) => {
            report.print()?;
            Ok(if report.agrees() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
        Err(error) => {
            printing::note(format_args!("Error: {}", one_line(&format!("{error:#}"))));
            Ok(NOT_COMPARED.into())
        }
    }
}

/// The result of comparing every value once.
struct Report {
    /// The ends of the log when the comparison began.
    acknowledged: Positions,
    counted: Positions,
    values: usize,
    found: Vec<Known>,
}

impl Report {
    fn agrees(&self) -> bool {
        self.found.is_empty() && !self.counted.is_behind(&self.acknowledged)
    }

    fn print(&self) -> Result<()> {
        printing::result(format_args!("acknowledged  {}", self.acknowledged))?;
        printing::result(format_args!("counted       {}", self.counted))?;
        printing::result(format_args!("compared      {} values", self.values))?;
        printing::result(format_args!("differences   {}", self.found.len()))?;
        for Known { difference, .. } in self.found.iter().take(SHOWN_MAX) {
            let (place, expected, found) =
                (&difference.place, &difference.first, &difference.second);
            printing::result(format_args!("  {place}: expected {expected}, found {found}"))?;
        }
        if self.found.len() > SHOWN_MAX {
            let more = self.found.len() - SHOWN_MAX;
            printing::result(format_args!("  and {more} more values"))?;
        }
        for gap in self.counted.gaps_to(&self.acknowledged) {
            printing::result(format_args!("  {gap} is not counted"))?;
        }
        let verdict = if self.agrees() { "The counts agree." } else { "The counts do not agree." };
        Ok(printing::result(verdict)?)
    }
}

async fn compare_once(args: &SubjectArgs, wait: Duration) -> Result<Report> {
    let subject = Subject::read(args).await?;
    let topics = subject.topics().await?;
    let acknowledged = topics.ends.clone();
    let run = subject.start(Build::Present).await?;
    let mut comparison = Comparison::start(&subject, &topics, run, Begin::Log).await?;
    settle(&mut comparison, &acknowledged, wait).await?;
    let _progress = Progress::work("counting the records again");
    let (mut values, mut found) = (0, Vec::new());
    loop {
        match comparison.step().await? {
            Step::Behind(behind) => {
                let counted = comparison.live_positions().await?;
                if !counted.is_behind(&acknowledged) {
                    bail!("{}", behind_text(behind));
                }
                return Ok(Report { acknowledged, counted, values, found });
            }
            Step::Compared(compared) => {
                values += compared.values;
                found.extend(compared.found);
                if compared.is_pass_end {
                    let counted = compared.positions;
                    return Ok(Report { acknowledged, counted, values, found });
                }
            }
        }
    }
}

/// Waits until the application has counted everything before `wanted`, or makes no progress for
/// `wait`.
async fn settle(comparison: &mut Comparison, wanted: &Positions, wait: Duration) -> Result<()> {
    let _progress = Progress::work("waiting until the records are counted");
    let (mut last, mut moved) = (comparison.live_positions().await?, Instant::now());
    while last.is_behind(wanted) && moved.elapsed() < wait {
        tokio::time::sleep(POLL).await;
        let positions = comparison.live_positions().await?;
        if positions != last {
            (last, moved) = (positions, Instant::now());
        }
    }
    Ok(())
}

/// Compares until the future is dropped.
async fn forever(args: &Args, metrics: Option<MetricsExport>) -> Result<ExitCode> {
    let gauges = Gauges::default();
    let operator = Operator::of_metrics(|registry| gauges.register(registry));
    let _export = metrics.map(|export| {
        let operator = operator.clone();
        export.start(Arc::new(move || operator.metrics()))
    });
    if let Some(address) = args.operator {
        let listener = Operator::bind(address).await.map_err(Error::msg)?;
        let address = listener.local_addr()?;
        printing::announce(format_args!("Metrics: http://{address}/metrics"));
        tokio::spawn(operator.serve(listener, std::future::pending()));
    }
    let subject = Subject::read(&args.subject).await?;
    let interval = Duration::from_secs(args.interval);
    let place = if args.from_present { Begin::Present } else { Begin::Log };
    let mut comparison = begin(&subject, place, interval, &gauges).await?;
    printing::announce("The audit is running.");
    let mut was_behind = false;
    loop {
        let pause = match comparison.step().await {
            Ok(Step::Behind(behind)) => {
                if !was_behind {
                    tracing::warn!(reason = behind_text(behind), "cannot compare; waiting");
                }
                was_behind = true;
                interval
            }
            Ok(Step::Compared(compared)) => {
                was_behind = false;
                gauges.compared(&comparison, &compared.positions, compared.values);
                log(&compared);
                if compared.is_pass_end {
                    gauges.pass_ended();
                    interval
                } else {
                    Duration::ZERO
                }
            }
            Err(error) => {
                gauges.failed();
                tracing::warn!(error = format!("{error:#}"), "cannot compare; trying again");
                // What was counted in it is lost.
                comparison.check_private_store().await?;
                RETRY_PAUSE
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Waits for the first records, and prepares the comparison. Servers may start later than the
/// audit.
async fn begin(
    subject: &Subject,
    place: Begin,
    interval: Duration,
    gauges: &Gauges,
) -> Result<Comparison> {
    loop {
        match subject.topics().await {
            Ok(topics) if !topics.empty.is_empty() => {
                // Without records there is nothing to compare.
                if topics.ends.iter().next().is_none() {
                    gauges.pass_ended();
                }
                tokio::time::sleep(interval).await;
            }
            Ok(topics) => return start(subject, &topics, place).await,
            Err(error) => {
                gauges.failed();
                tracing::warn!(error = format!("{error:#}"), "cannot begin; trying again");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
}

async fn start(subject: &Subject, topics: &Topics, place: Begin) -> Result<Comparison> {
    let run = subject.start(Build::Present).await?;
    Comparison::start(subject, topics, run, place).await
}

fn log(compared: &Compared) {
    for Known { difference, equal_at, differs_at } in compared.found.iter().take(SHOWN_MAX) {
        tracing::error!(
            key = difference.place,
            expected = difference.first,
            found = difference.second,
            range = equal_at.shown_gaps_to(differs_at),
            "a count differs from the log"
        );
    }
    if compared.found.len() > SHOWN_MAX {
        let more = compared.found.len() - SHOWN_MAX;
        tracing::error!(more, "further counts differ from the log");
    }
    for key in compared.settled.iter().take(SHOWN_MAX) {
        tracing::info!(key, "the count is equal again");
    }
}

fn behind_text(behind: Vec<Gap>) -> String {
    format!("Valkey is behind the recount; it lacks {}", listed(behind))
}
