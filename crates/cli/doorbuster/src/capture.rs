//! `doorbuster capture`: writes records of a topic to a file for `doorbuster test`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use kafka_client::{BasicContext, ClientSettings};
use printing::Progress;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use runner::shutdown;
use spin_kafka_trigger::{
    Batch, Bound, Config, Failure, Handler, Position, Range, Rejection, Trigger,
};
use tokio_util::sync::CancellationToken;

use crate::application::Application;
use crate::records;

/// How long the query for the partitions may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The group in the client's settings. Nothing joins it, and nothing is committed.
const GROUP: &str = "doorbuster-capture";

/// Write records of a topic to standard output, as a file for `doorbuster test`.
///
/// The records are read outside the consumer group: nothing is committed. Without an application
/// (no spin.toml in the folder, and no --from) --kafka and --topic are required.
#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    application: Application,
    /// Topic to read; required if the trigger has several.
    #[arg(long, value_name = "TOPIC")]
    topic: Option<String>,
    /// Partition to read; may be repeated. By default all of them.
    #[arg(long, value_name = "NUMBER")]
    partition: Vec<i32>,
    /// First record of each partition: an offset, a time (RFC 3339), or `earliest`.
    #[arg(long, value_name = "PLACE", default_value = "earliest")]
    since: Bound,
    /// End of the range, exclusive: an offset, a time (RFC 3339), or `latest`.
    #[arg(long, value_name = "PLACE", default_value = "latest")]
    until: Bound,
    /// Maximum number of records to write.
    #[arg(long, value_name = "RECORDS", default_value_t = 1_000)]
    max: u64,
}

/// Writes the records, and then their number to standard error.
pub async fn main(args: Args) -> Result<ExitCode> {
    let config = args.config().await?;
    let named = args.partition.clone();
    if !named.is_empty() {
        let config = config.clone();
        tokio::task::spawn_blocking(move || check_partitions(&config, &named)).await??;
    }
    let enough = CancellationToken::new();
    let written = Arc::new(Mutex::new(Written { records: 0, max: args.max, failure: None }));
    let writer =
        Writer { partitions: args.partition, written: written.clone(), enough: enough.clone() };
    if args.max > 0 {
        let stop = async {
            tokio::select! {
                () = shutdown::signal() => {}
                () = enough.cancelled() => {}
            }
        };
        let progress = Progress::work("reading the topic");
        let trigger = Trigger::new(config, writer)?;
        let ended = trigger.replay(Range { from: args.since, to: args.until }, stop).await;
        drop(progress);
        ended?;
    }
    let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(failure) = written.failure.take() {
        return Err(failure);
    }
    printing::note(format_args!("{} records captured", written.records));
    Ok(ExitCode::SUCCESS)
}

impl Args {
    /// The settings with which the topic is read: those of the trigger, without its filters.
    async fn config(&self) -> Result<Config> {
        let (trigger, topic) = self.application.topic(self.topic.as_deref()).await?;
        Ok(trigger
            .engine
            .topics([topic])
            .group(GROUP)
            .instance_id("")
            .filters([])
            .dead_letter_topic("")
            .key_concurrency(1))
    }
}

/// Fails if the topic has no partition of one of these numbers: nothing would be captured from it.
fn check_partitions(config: &Config, named: &[i32]) -> Result<()> {
    let tokens = config.tokens();
    let mut settings = ClientSettings::new(&config.brokers, &config.client);
    settings.set_tokens(tokens.as_ref());
    let consumer: BaseConsumer<BasicContext> = settings.create(BasicContext::default())?;
    if let Some(tokens) = tokens {
        // The client is never polled, so librdkafka does not request a token.
        tokens.authenticate(consumer.client(), ANSWER_TIMEOUT)?;
    }
    for topic in &config.topics {
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_TIMEOUT);
        let metadata = metadata.with_context(|| format!("cannot find the topic {topic}"))?;
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let numbers: Vec<i32> = partitions.map(|partition| partition.id()).collect();
        if let Some(other) = named.iter().find(|number| !numbers.contains(number)) {
            bail!("the topic {topic} has no partition {other}, but {} partitions", numbers.len());
        }
    }
    Ok(())
}

/// What was written.
struct Written {
    records: u64,
    max: u64,
    failure: Option<anyhow::Error>,
}

/// A handler that writes the records of these partitions; of all, if there are none.
struct Writer {
    partitions: Vec<i32>,
    written: Arc<Mutex<Written>>,
    /// Cancelled when no more records are to be written.
    enough: CancellationToken,
}

impl Writer {
    fn write(&self, batch: &Batch) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        for message in &batch.records {
            if written.records >= written.max || written.failure.is_some() {
                break;
            }
            printing::result(records::line(batch.partition, message)?)
                .context("the capture is incomplete")?;
            written.records += 1;
        }
        if written.records >= written.max {
            self.enough.cancel();
        }
        Ok(())
    }
}

impl Handler for Writer {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        if !self.partitions.is_empty() && !self.partitions.contains(&batch.partition) {
            return Ok(Vec::new());
        }
        if let Err(error) = self.write(batch) {
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            written.failure.get_or_insert(error);
            self.enough.cancel();
        }
        Ok(Vec::new())
    }

    async fn position(&self, _: &str, _: &str, _: &str, _: i32) -> Result<Position, Failure> {
        Ok(Position::Committed)
    }
}
