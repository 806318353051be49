//! `doorbuster why`: shows which batches made a value.

use std::process::ExitCode;

use anyhow::Result;
use printing::{Progress, one_line};
use runner::shutdown;

use crate::bytes::shown;
use crate::recount::{
    Build, KeyChange, Observer, Positions, Subject, SubjectArgs, Watched, shown_value,
};

/// Exit code if the value could not be explained.
const NOT_EXPLAINED: u8 = 2;

/// Show which batches of records made a value in Valkey.
///
/// The component of the trigger counts the records of its topics again in a private Valkey, which
/// this program starts, up to the position of the application. The batches after which the value
/// differed are printed, with their partition, their range of offsets and the times of their
/// records. The records may have been in other batches when the application counted them.
///
/// The exit code is 0 if the recount has the same result as the application, 1 if not, and 2 if the
/// value could not be explained.
#[derive(clap::Args)]
pub struct Args {
    /// The key in Valkey.
    #[arg(value_name = "KEY")]
    key: String,
    /// A field or member of the key. Without it, of a key with several values the number of them is
    /// shown.
    #[arg(value_name = "ELEMENT")]
    element: Option<String>,
    #[command(flatten)]
    subject: SubjectArgs,
    /// Maximum number of batches to print: the last ones.
    #[arg(long, value_name = "BATCHES", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
}

/// Explains the value and prints the result.
pub async fn main(args: Args) -> Result<ExitCode> {
    let explained = tokio::select! {
        biased;
        () = shutdown::signal() => return Ok(NOT_EXPLAINED.into()),
        explained = explain(&args) => explained,
    };
    match explained {
        Ok(explanation) => explanation.print(&args),
        Err(error) => {
            printing::note(format_args!("Error: {}", one_line(&format!("{error:#}"))));
            Ok(NOT_EXPLAINED.into())
        }
    }
}

/// How a value was made.
struct Explanation {
    /// The file of the component and its digest.
    build: String,
    /// Number of batches that changed the value, and the last ones of them.
    batches: u64,
    changes: Vec<KeyChange>,
    /// The positions of the application.
    positions: Positions,
    recounted: String,
    live: String,
}

async fn explain(args: &Args) -> Result<Explanation> {
    let subject = Subject::read(&args.subject).await?;
    let topics = subject.topics().await?;
    topics.check_complete(&subject.trigger.engine)?;
    let element = args.element.clone().map(String::into_bytes);
    let watched = Watched { key: args.key.clone().into_bytes(), element };
    let observer = Observer::new(watched.clone(), args.limit.into());
    let mut run = subject.start(Build::Present).await?;
    let _progress = Progress::work("counting the records again");
    let keys = run.find_positions(&topics, Some(observer.clone())).await?;
    let mut live = subject.live()?;
    let window = watched.window(live.connection().await?).await?.unwrap_or_default();
    let (positions, values) = live.read(&keys, &window).await?;
    run.count_up_to(&positions, Some(observer.clone())).await?;
    let window = watched.window(run.store()).await?.unwrap_or_default();
    let recounted = shown_value(&window.read(run.store()).await?);
    let (batches, changes) = observer.changes();
    let live = shown_value(&values);
    Ok(Explanation { build: run.build()?, batches, changes, positions, recounted, live })
}

impl Explanation {
    fn print(&self, args: &Args) -> Result<ExitCode> {
        let words = [Some(&args.key), args.element.as_ref()].into_iter().flatten();
        let value: Vec<_> = words.map(|word| shown(Some(word.as_bytes()))).collect();
        printing::result(format_args!("value      {}", value.join(" ")))?;
        printing::result(format_args!("component  {}", self.build))?;
        printing::result(format_args!("counted    {}", self.positions))?;
        printing::result(format_args!("changed by {} batches", self.batches))?;
        let left_out = self.batches.saturating_sub(self.changes.len() as u64);
        if left_out > 0 {
            printing::result(format_args!("  {left_out} earlier ones are left out"))?;
        }
        for change in &self.changes {
            let KeyChange { topic, partition, start, end, before, after, .. } = change;
            let times = change.times_ms.map(times).unwrap_or_default();
            printing::result(format_args!(
                "  {topic}/{partition} {start}..{end}{times}: {before} -> {after}"
            ))?;
        }
        if self.recounted == self.live {
            printing::result(format_args!("Valkey contains {}, as counted again.", self.live))?;
            return Ok(ExitCode::SUCCESS);
        }
        printing::result(format_args!(
            "Valkey contains {}, but counted again it is {}.",
            self.live, self.recounted
        ))?;
        Ok(ExitCode::FAILURE)
    }
}

/// The times of records, as a text.
fn times((oldest, newest): (i64, i64)) -> String {
    let time = |ms| jiff::Timestamp::from_millisecond(ms).map(|time| time.to_string());
    match (time(oldest), time(newest)) {
        (Ok(oldest), Ok(newest)) => format!(" ({oldest} to {newest})"),
        _ => String::new(),
    }
}
