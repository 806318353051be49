//! `doorbuster shadow`: compares what two builds of a component count.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use printing::{Progress, one_line};
use runner::shutdown;
use spin_kafka_trigger::Summary;

use crate::recount::{
    Build, Difference, Ignored, Positions, PrivateRun, PrivateStore, Subject, SubjectArgs, Topics,
    Walk, differences,
};

/// Exit code if the builds could not be compared.
const NOT_COMPARED: u8 = 2;

/// Maximum number of differences that are printed; the others are only counted.
const SHOWN_MAX: usize = 20;

/// Maximum number of differences that are kept. The comparison ends when there are as many.
const KEPT_MAX: usize = 10_000;

/// Compare what a new build of a component counts with what the present one counts.
///
/// Both builds read the same records of the application's topics, outside the consumer group, and
/// count in private Valkeys, which this program starts. They can connect to nothing else. The
/// values that differ are printed. The exit code is 0 if there are none, 1 if there are some, and 2
/// if the builds could not be compared.
#[derive(clap::Args)]
pub struct Args {
    /// File of the new build, before its dependencies are composed with it.
    #[arg(value_name = "NEW.wasm")]
    new: PathBuf,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Only read the last records of each partition, as many as this number.
    #[arg(long, value_name = "RECORDS")]
    last: Option<u32>,
}

/// Compares the builds and prints the result.
pub async fn main(args: Args) -> Result<ExitCode> {
    let compared = tokio::select! {
        biased;
        () = shutdown::signal() => return Ok(NOT_COMPARED.into()),
        compared = compare(&args) => compared,
    };
    match compared {
        Ok(comparison) => comparison.print(),
        Err(error) => {
            printing::note(format_args!("Error: {}", one_line(&format!("{error:#}"))));
            Ok(NOT_COMPARED.into())
        }
    }
}

/// What the builds count.
struct Comparison {
    ends: Positions,
    present: Summary,
    new: Summary,
    values: usize,
    differences: BTreeMap<String, Difference>,
}

async fn compare(args: &Args) -> Result<Comparison> {
    let subject = Subject::read(&args.subject).await?;
    let topics = subject.topics().await?;
    let (mut present_run, present) = count(&subject, &topics, args.last, Build::Present).await?;
    let (mut new_run, new) = count(&subject, &topics, args.last, Build::File(&args.new)).await?;
    let _progress = Progress::work("comparing the values");
    let (mut values, mut found) = (0, BTreeMap::new());
    // The second walk finds what only the new build has stored.
    for is_new in [false, true] {
        let ignored = Ignored { prefixes: subject.ignored.clone(), positions: None };
        let mut walk = Walk::new(ignored);
        while !walk.has_ended() && found.len() < KEPT_MAX {
            let (one, other) = (present_run.store(), new_run.store());
            let (store, other) = if is_new { (other, one) } else { (one, other) };
            let window = walk.next(store, other).await?;
            let first = window.read(present_run.store()).await?;
            let second = window.read(new_run.store()).await?;
            let present = (first.as_slice(), present_run.store());
            let differing =
                differences(&window, present, (second.as_slice(), new_run.store())).await?;
            found.extend(differing.into_iter().map(|found| (found.place.clone(), found)));
            values += if is_new { 0 } else { window.elements() };
        }
    }
    Ok(Comparison { ends: topics.ends, present, new, values, differences: found })
}

/// Counts the records with a build.
async fn count(
    subject: &Subject,
    topics: &Topics,
    last: Option<u32>,
    build: Build<'_>,
) -> Result<(PrivateRun, Summary)> {
    let _progress = Progress::work(match build {
        Build::Present => "counting with the present build",
        Build::File(_) => "counting with the new build",
    });
    let mut run = match build {
        Build::Present => subject.start(build).await?,
        Build::File(_) => subject.start_in(build, PrivateStore::start().await?).await?,
    };
    if let Some(last) = last {
        let mut starts = Positions::default();
        topics.ends.iter().for_each(|(topic, partition, end)| {
            starts.insert(topic, partition, end - i64::from(last));
        });
        run.begin_at(starts);
    }
    let summary = run.count_up_to(&topics.ends, None).await?;
    Ok((run, summary))
}

impl Comparison {
    fn print(&self) -> Result<ExitCode> {
        printing::result(format_args!("range          {}", self.ends))?;
        for (name, summary) in [("present build", &self.present), ("new build", &self.new)] {
            let Summary { records, batches, rejections, .. } = summary;
            printing::result(format_args!(
                "{name:<13}  {records} records in {batches} batches, {rejections} rejected"
            ))?;
        }
        printing::result(format_args!("compared       {} values", self.values))?;
        printing::result(format_args!("differences    {}", self.differences.len()))?;
        for Difference { place, first, second } in self.differences.values().take(SHOWN_MAX) {
            printing::result(format_args!("  {place}: {first}, with the new build {second}"))?;
        }
        if self.differences.len() > SHOWN_MAX {
            let more = self.differences.len() - SHOWN_MAX;
            printing::result(format_args!("  and {more} more values"))?;
        }
        let is_equal = self.differences.is_empty();
        Ok(if is_equal { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
