//! `doorbuster produce`: writes the records of a file to a topic.

use std::fs::File;
use std::io::{BufReader, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use host_producer::{Header, OutgoingRecord, Producer};
use printing::Progress;

use crate::application::Application;
use crate::records::{self, FileRecord};

/// The most records that are sent before their acknowledgements are awaited.
const RECORDS_AT_ONCE: usize = 1_000;
/// Their size at which no more are added. With the largest record that a file can contain it is
/// below the size of the producer's queue, which refuses what does not fit.
const BYTES_AT_ONCE: usize = 16 << 20;

/// Write the records of a file to a topic.
///
/// The records are written in the order of the file. Each goes to the partition of its key, as with
/// Java's clients, or without a key to any: `partition` and `offset` in the file are not used, but
/// in each partition of the file the offsets must ascend. The topic must exist. Without an
/// application (no spin.toml in the folder, and no --from) --kafka and --topic are required.
///
/// Records are sent in groups of up to 1,000. If the brokers do not acknowledge a record, no
/// further group is sent; the error contains the record's line, and the exit code is 1. Other
/// records of its group may have been written. Ends with 0 when the brokers have acknowledged all
/// records.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    application: Application,
    /// Topic to write to; required if the trigger reads several.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// File of records, one JSON object a line, as `doorbuster capture` writes it; `-` for standard
    /// input.
    #[arg(value_name = "RECORDS")]
    file: PathBuf,
}

/// Writes the records, and then their number to standard error.
pub async fn main(args: Args) -> Result<ExitCode> {
    let (trigger, topic) = args.application.topic(args.topic.as_deref()).await?;
    let records = tokio::task::spawn_blocking(move || read(&args.file)).await??;
    let producer = Producer::new(trigger.producer())?;
    let progress = Progress::of_total(records.len() as u64, "records");
    let mut left = records.as_slice();
    while !left.is_empty() {
        let (group, rest) = left.split_at(group_len(left));
        write(&producer, &topic, group).await?;
        progress.add(group.len() as u64);
        left = rest;
    }
    drop(progress);
    printing::note(format_args!("{} records written to {topic}", records.len()));
    Ok(ExitCode::SUCCESS)
}

/// Reads all records, in the order of the file.
fn read(path: &Path) -> Result<Vec<FileRecord>> {
    let partitions = if path == Path::new("-") {
        records::read(stdin().lock()).context("standard input")
    } else {
        let file = File::open(path).map_err(Into::into);
        file.and_then(|file| records::read(BufReader::new(file)))
            .with_context(|| path.display().to_string())
    };
    let mut records: Vec<FileRecord> = partitions?.into_values().flatten().collect();
    records.sort_unstable_by_key(|record| record.line);
    Ok(records)
}

/// The number of records that are sent next.
fn group_len(records: &[FileRecord]) -> usize {
    let mut bytes = 0;
    let fits = |record: &&FileRecord| {
        let fits = bytes < BYTES_AT_ONCE;
        bytes += record.message.content_bytes();
        fits
    };
    records.iter().take(RECORDS_AT_ONCE).take_while(fits).count()
}

async fn write(producer: &Producer, topic: &str, records: &[FileRecord]) -> Result<()> {
    let outgoing = records.iter().map(|record| outgoing(topic, record)).collect();
    let results = producer.send_each(outgoing).await;
    for (FileRecord { line, .. }, result) in records.iter().zip(results) {
        if let Err(error) = result {
            bail!("the record in line {line} was not acknowledged: {error}");
        }
    }
    Ok(())
}

fn outgoing(topic: &str, FileRecord { message, .. }: &FileRecord) -> OutgoingRecord {
    let header = |header: &spin_kafka_trigger::Header| Header {
        name: header.name.to_string(),
        value: header.value.as_deref().map(Into::into),
    };
    OutgoingRecord {
        topic: topic.into(),
        partition: None,
        timestamp_ms: message.timestamp_ms,
        key: message.key.as_deref().map(Into::into),
        value: message.value.as_deref().map(Into::into),
        headers: message.headers.iter().map(header).collect(),
    }
}
