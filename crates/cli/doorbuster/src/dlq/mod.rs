//! `doorbuster dlq`: lists, shows, sends back and deletes dead letters.

mod letters;
mod print;

use std::ops::ControlFlow;
use std::process::ExitCode;

use anyhow::{Result, bail};
use printing::{Progress, one_line};
use spin_kafka_trigger::{LetterCounts, ReplayLimits, SentBack};

use crate::application::{Application, TriggerType};
use letters::Letters;

/// What is shown until the letters were read.
const READING: &str = "reading the dead letters";

/// The most letters that are named because they cannot be sent back.
const LEFT_NAMED_MAX: u64 = 20;

/// List, show, send back and delete dead letters: the records that were given up.
///
/// They are in a topic of Kafka, or in a queue of RabbitMQ if the trigger reads one. A letter is open
/// until it is sent back. A letter of a queue is then removed from it, and its position is its place in
/// the queue, from 0/1; reading the letters of a queue counts as one delivery of each of them.
#[derive(clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// List the letters with their source, time and reason.
    List(Common),
    /// Show one letter with its headers, key and value.
    Show {
        #[command(flatten)]
        common: Common,
        /// Position of the letter, as `list` prints it.
        #[arg(value_name = "PARTITION/OFFSET", value_parser = parse_position)]
        at: (i32, i64),
    },
    /// Write open letters back to the topics or queues they came from, and count them before and after.
    ///
    /// The letters that were sent are marked in the dead-letter topic, or removed from the dead-letter
    /// queue, after at most 100 letters. A letter that cannot be sent (its topic does not exist, it does
    /// not name its topic, it was written without its record) is reported and stays open. The others are
    /// sent, and the exit code is 1.
    Replay {
        #[command(flatten)]
        common: Common,
        /// Maximum number of letters to send back, in the order of partition and offset.
        #[arg(long, value_name = "LETTERS")]
        max: Option<u64>,
        /// Only print how many letters would be sent back.
        #[arg(long)]
        dry_run: bool,
    },
    /// Delete the first letters of a queue, and print each of them as `list` does. It stops at a message that
    /// is not a dead letter. Letters of a topic are deleted by its retention.
    Drop {
        #[command(flatten)]
        common: Common,
        /// Maximum number of letters to delete, from the front of the queue.
        #[arg(long, value_name = "LETTERS")]
        max: u64,
    },
}

#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    application: Application,
    /// Type of the trigger, `kafka` or `amqp`; required if the component has one of each.
    #[arg(long, value_name = "TYPE")]
    trigger: Option<TriggerType>,
    /// Dead-letter topic or queue; required if the trigger has several, or publishes to an exchange.
    #[arg(long, visible_alias = "queue", value_name = "TOPIC")]
    topic: Option<String>,
}

fn parse_position(text: &str) -> Result<(i32, i64), String> {
    let numbers = text
        .split_once('/')
        .and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?)));
    numbers.ok_or_else(|| format!("`{text}` must be PARTITION/OFFSET, such as 0/17"))
}

/// Runs the command.
pub async fn main(args: Args) -> Result<ExitCode> {
    // The Kafka client blocks.
    tokio::task::spawn_blocking(|| run(args)).await?
}

fn run(args: Args) -> Result<ExitCode> {
    match args.action {
        Action::List(common) => list(&common.open()?),
        Action::Show { common, at } => show(&common.open()?, at),
        Action::Replay { common, dry_run: true, max } => {
            let progress = Progress::work(READING);
            let open = common.open()?.survey()?.counts().open;
            drop(progress);
            let sent = open.min(max.unwrap_or(u64::MAX));
            printing::result(format_args!("{sent} letters would be sent back"))?;
            Ok(ExitCode::SUCCESS)
        }
        Action::Drop { common, max } => delete(&common.open()?, max),
        Action::Replay { common, max, .. } => replay(&common.open()?, max.unwrap_or(u64::MAX)),
    }
}

impl Common {
    fn open(&self) -> Result<Letters> {
        let types = self.trigger.map_or(TriggerType::ALL.to_vec(), |one| vec![one]);
        Letters::open(&self.application, &types, self.topic.as_deref())
    }
}

fn list(letters: &Letters) -> Result<ExitCode> {
    print::heading()?;
    let (mut counts, mut printed) = (LetterCounts::default(), Ok(()));
    let progress = Progress::work(READING);
    letters.read(|letter| {
        progress.finish();
        printed = print::line(&letter);
        counts.all += 1;
        counts.open += u64::from(letter.open);
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    drop(progress);
    printed?;
    print_counts("", counts)?;
    Ok(ExitCode::SUCCESS)
}

fn show(letters: &Letters, at: (i32, i64)) -> Result<ExitCode> {
    let mut found = None;
    let progress = Progress::work(READING);
    letters.read(|letter| {
        if (letter.partition, letter.record.offset) == at {
            found = Some(letter);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    drop(progress);
    match found {
        Some(letter) => print::letter(&letter)?,
        None => bail!("there is no letter at {}/{}", at.0, at.1),
    }
    Ok(ExitCode::SUCCESS)
}

fn delete(letters: &Letters, max: u64) -> Result<ExitCode> {
    print::heading()?;
    let (mut deleted, mut printed) = (0_u64, Ok(()));
    letters.delete(max, |letter| {
        // A letter that cannot be printed is not deleted.
        printed = print::line(&letter);
        deleted += u64::from(printed.is_ok());
        if printed.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    printed?;
    printing::result(format_args!("{deleted} letters deleted"))?;
    Ok(ExitCode::SUCCESS)
}

fn replay(letters: &Letters, max: u64) -> Result<ExitCode> {
    let progress = Progress::work(READING);
    let survey = letters.survey()?;
    drop(progress);
    let before = survey.counts();
    // A failure to print must not prevent the work.
    let printed = print_counts("before: ", before);
    let progress = Progress::of_total(before.open.min(max), "letters sent back");
    let mut sent = 0;
    let mut left = Left::default();
    let limits = ReplayLimits { sent_max: max, tried_max: u64::MAX };
    let ended = survey.replay(limits, |step| match step {
        SentBack::Sent(letters) => {
            sent += letters;
            progress.set(sent);
        }
        SentBack::Left { partition, offset, reason } => {
            progress.suspend(|| left.add(partition, offset, &reason));
        }
        _ => {}
    });
    drop(progress);
    // The counts are printed also after a failure, because some letters may have been sent.
    match survey.counts_after(sent, ended.is_err()) {
        Ok(after) => print_counts("after:  ", after)?,
        Err(error) => {
            printing::note(format_args!("the letters could not be counted again: {error}"))
        }
    }
    printing::result(format_args!("{sent} letters sent back"))?;
    printed?;
    left.report();
    ended?;
    Ok(if left.letters == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Letters that could not be sent back.
#[derive(Default)]
struct Left {
    letters: u64,
}

impl Left {
    fn add(&mut self, partition: i32, offset: i64, reason: &str) {
        self.letters += 1;
        if self.letters <= LEFT_NAMED_MAX {
            let reason = one_line(reason);
            printing::note(format_args!("letter {partition}/{offset} stays open: {reason}"));
        }
    }

    fn report(&self) {
        if self.letters > LEFT_NAMED_MAX {
            let more = self.letters - LEFT_NAMED_MAX;
            printing::note(format_args!("... and {more} more letters stay open"));
        }
        if self.letters > 0 {
            let letters = self.letters;
            printing::note(format_args!("{letters} letters could not be sent back and stay open"));
        }
    }
}

fn print_counts(
    when: &str,
    LetterCounts { all, open }: LetterCounts,
) -> Result<(), printing::Unwritten> {
    printing::result(format_args!("{when}{open} open of {all} letters"))
}
