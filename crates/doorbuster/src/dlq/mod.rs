//! `doorbuster dlq`: lists, shows and sends back dead letters.

mod print;

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use spin_kafka_trigger::{DeadLetterTopic, LetterCounts, is_pattern};
use tokio::runtime::Handle;

use crate::application::Application;

/// Look after the records that were given up.
///
/// A letter is open until it is sent back.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the letters: where each came from, when and why it was given up.
    List(Common),
    /// Show one letter whole: its headers, its key and its value.
    Show {
        #[command(flatten)]
        common: Common,
        /// The letter's place in the dead-letter topic, as `list` says it.
        #[arg(value_name = "PARTITION/OFFSET", value_parser = place)]
        at: (i32, i64),
    },
    /// Write open letters back to the topics they came from, and count them before and after.
    Replay {
        #[command(flatten)]
        common: Common,
        /// Send back so many at most, the oldest first.
        #[arg(long, value_name = "LETTERS")]
        max: Option<u64>,
        /// Only say how many would be sent back.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    application: Application,
    /// The dead-letter topic, if it is not the trigger's only one.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
}

fn place(text: &str) -> Result<(i32, i64), String> {
    let numbers = text
        .split_once('/')
        .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    numbers.ok_or_else(|| format!("`{text}` must be PARTITION/OFFSET, such as 0/17"))
}

/// Does what the arguments say.
pub async fn main(args: Args) -> Result<ExitCode> {
    // The Kafka client blocks.
    tokio::task::spawn_blocking(|| run(args)).await?
}

fn run(args: Args) -> Result<ExitCode> {
    match args.action {
        Action::List(common) => list(&common.open()?),
        Action::Show { common, at } => show(&common.open()?, at),
        Action::Replay { common, dry_run: true, max } => {
            let open = common.open()?.counts()?.open;
            let sent = open.min(max.unwrap_or(u64::MAX));
            printing::result(format_args!("{sent} letters would be sent back"))?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Replay { common, max, .. } => replay(&common.open()?, max.unwrap_or(u64::MAX)),
    }
}

impl Common {
    fn open(&self) -> Result<DeadLetterTopic> {
        let (app, variables) = Handle::current().block_on(self.application.read())?;
        let engine = self.application.trigger(&app, &variables)?.engine;
        let topic = match (&self.topic, engine.topics.as_slice()) {
            (Some(topic), _) => topic.clone(),
            (None, [topic]) if !is_pattern(topic) => engine.dead_letter_topic(topic).into_owned(),
            (None, _) if !engine.dead_letter_topic.is_empty() => engine.dead_letter_topic.clone(),
            (None, topics) => {
                bail!("there is a dead-letter topic for each of {topics:?}: name one by --topic")
            }
        };
        Ok(DeadLetterTopic::open(&engine, &topic)?)
    }
}

fn list(letters: &DeadLetterTopic) -> Result<ExitCode> {
    print::heading()?;
    let mut printed = Ok(());
    letters.read(|letter| {
        printed = print::line(&letter);
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    printed?;
    print_counts("", letters.counts()?)?;
    Ok(ExitCode::SUCCESS)
}

fn show(letters: &DeadLetterTopic, at: (i32, i64)) -> Result<ExitCode> {
    let mut found = None;
    letters.read(|letter| {
        if (letter.partition, letter.record.offset) == at {
            found = Some(letter);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    match found {
        Some(letter) => print::whole(&letter)?,
        None => bail!("there is no letter at {}/{}", at.0, at.1),
    }
    Ok(ExitCode::SUCCESS)
}

fn replay(letters: &DeadLetterTopic, max: u64) -> Result<ExitCode> {
    let before = letters.counts()?;
    // What is done matters more than that it can be printed.
    let printed = print_counts("before: ", before);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} letters {per_sec}")?;
    let bar = ProgressBar::new(before.open.min(max)).with_style(style);
    let sent = letters.replay(max, |sent| bar.set_position(sent));
    bar.finish_and_clear();
    // Also after a failure: what was sent is sent.
    print_counts("after:  ", letters.counts()?)?;
    printing::result(format_args!("{} letters sent back", sent?))?;
    printed?;
    Ok(ExitCode::SUCCESS)
}

fn print_counts(
    when: &str,
    LetterCounts { all, open }: LetterCounts,
) -> Result<(), printing::Unwritten> {
    printing::result(format_args!("{when}{open} open of {all} letters"))
}
