//! `doorbuster test`: runs a component on a file of records, without a broker.

mod answers;
mod output;
mod report;
mod subject;

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use runner::VariableArgs;
use spin_kafka_trigger::{OfflineRecords, OfflineRun, apply_offline};

use crate::records::{self, FileRecord, Partitions};
use crate::source::Source;
use answers::{Answer, Answers};
use report::Report;
use subject::Subject;

/// Exit code if the test could not be run, as for invalid arguments.
const NOT_RUN: u8 = 2;

/// Run a component on a file of records, without a broker.
///
/// Batches, deadlines, memory limits, retries and the search for the record that makes the
/// component fail are those of its Kafka trigger; dead letters are reported instead of written. A
/// component that uses a store or a service needs it, as in production.
///
/// The exit code is 0 if every record was applied or filtered, or, with --golden, if the answers
/// are those of that file. It is 1 if not, and 2 if the test could not be run.
#[derive(clap::Args)]
pub struct Args {
    /// File of records, one JSON object a line, as `doorbuster capture` writes it; or the `.wasm`
    /// file of a component, to test it without a manifest.
    #[arg(value_name = "RECORDS|COMPONENT.wasm")]
    first: PathBuf,
    /// File of records, after the `.wasm` file of a component.
    #[arg(value_name = "RECORDS")]
    second: Option<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// Component of the trigger; required if the application has several triggers.
    #[arg(long, value_name = "ID")]
    component: Option<String>,
    #[command(flatten)]
    variables: VariableArgs,
    /// Topic that the records come from. By default the first topic of the trigger.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Maximum number of records in a batch. By default `batch_records_max` of the trigger.
    #[arg(long, value_name = "RECORDS")]
    batch: Option<usize>,
    /// Maximum linear memory of one instance, in bytes.
    #[arg(long, value_name = "BYTES", env = "SPIN_MAX_INSTANCE_MEMORY")]
    max_instance_memory: Option<usize>,
    /// File with the expected answers, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    golden: Option<PathBuf>,
    /// Write the answers to the file of --golden instead of comparing them.
    #[arg(long, requires = "golden")]
    update: bool,
    /// Show all output of the component on standard error. By default only the output for records
    /// that were given up is shown.
    #[arg(long)]
    show_output: bool,
}

/// Runs the test and prints the result.
pub async fn main(args: Args) -> Result<ExitCode> {
    match Test::prepare(&args).await {
        Ok(test) => test.run().await,
        Err(error) => {
            printing::note(format_args!("Error: {error:#}"));
            Ok(NOT_RUN.into())
        }
    }
}

/// A test that is ready to run.
struct Test {
    subject: Subject,
    partitions: Partitions,
    golden: Golden,
}

/// The use of the golden file.
enum Golden {
    /// There is none.
    None,
    /// The answers are compared with it.
    Compare(Answers),
    /// It is written.
    Update(PathBuf),
}

impl Golden {
    fn new(args: &Args) -> Result<Self> {
        match &args.golden {
            None => Ok(Golden::None),
            Some(path) if args.update => {
                answers::check_writable(path)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                Ok(Golden::Update(path.clone()))
            }
            Some(path) => {
                let answers = open(path).and_then(answers::read);
                let answers = answers.with_context(|| path.display().to_string())?;
                Ok(Golden::Compare(answers))
            }
        }
    }
}

impl Test {
    async fn prepare(args: &Args) -> Result<Self> {
        let (wasm, file) = match &args.second {
            None => (None, &args.first),
            Some(file) => (Some(args.first.as_path()), file),
        };
        let partitions = open(file).and_then(records::read);
        let partitions = partitions.with_context(|| file.display().to_string())?;
        ensure!(!partitions.is_empty(), "{}: there is no record", file.display());
        let golden = Golden::new(args)?;
        Ok(Self { subject: Subject::load(args, wasm).await?, partitions, golden })
    }

    async fn run(self) -> Result<ExitCode> {
        let Self { subject, partitions, golden } = self;
        let (mut report, mut answers) = (Report::default(), Answers::new());
        for (partition, records) in partitions {
            let OfflineRun { outcomes, written, error, .. } =
                apply(&subject, partition, &records).await?;
            report.add_written(written.len());
            for (record, outcome) in records.iter().zip(outcomes) {
                let output = subject.output.of(partition, record.message.offset);
                report.add(partition, record, &outcome, output.as_deref())?;
                let at = (partition, record.message.offset);
                answers.insert(at, Answer::new(at, &outcome));
            }
            if let Some(error) = error {
                report.stopped(partition, &records, &error)?;
                break;
            }
        }
        report.print_counts()?;
        let is_success = match golden {
            Golden::None => report.is_clean(),
            Golden::Compare(_) | Golden::Update(_) if report.is_stopped() => false,
            Golden::Compare(expected) => answers::compare(&expected, &answers)?,
            Golden::Update(path) => {
                answers::write(&path, &answers)
                    .with_context(|| format!("cannot write {}", path.display()))?;
                printing::result(format_args!("answers written to {}", path.display()))?;
                true
            }
        };
        Ok(if is_success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

async fn apply(subject: &Subject, partition: i32, records: &[FileRecord]) -> Result<OfflineRun> {
    let records = OfflineRecords {
        topic: subject.topic.clone(),
        // A component that keeps its position must not find one of an earlier test.
        log_id: Arc::from(format!("doorbuster-test/{:016x}", subject.run_id)),
        partition,
        records: records.iter().map(|record| record.message.clone()).collect(),
    };
    let (handler, config) = subject.handler(partition)?;
    Ok(apply_offline(config, handler, records).await?)
}

fn open(path: &Path) -> Result<BufReader<File>> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    ensure!(
        bytes <= records::FILE_BYTES_MAX as u64,
        "larger than {} bytes",
        records::FILE_BYTES_MAX
    );
    Ok(BufReader::new(file))
}
