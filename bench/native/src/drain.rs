//! Counts a topic's records in Valkey. Every partition has its own thread and connection, so that
//! Valkey does not wait while a batch is prepared; every batch is one call of the script.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use aggregate::{NAMES, Namespace, Source, Stored};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::{Value, json};

use crate::partition::Partition;
use crate::store::Store;

/// The client that reads all partitions.
pub type Consumer = Arc<BaseConsumer>;

/// Maximum time for the cluster to describe the topic.
const METADATA_LIMIT: Duration = Duration::from_secs(10);

/// Interval at which the client's own events are handled.
const SERVE: Duration = Duration::from_millis(20);

/// If a number of records is expected and none was applied for this time, the program fails.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Count a topic's records in Valkey.
#[derive(clap::Args)]
pub struct Args {
    /// Bootstrap brokers of Kafka.
    #[arg(long, value_name = "HOST:PORT[,…]")]
    kafka: String,
    /// The topic.
    #[arg(long, value_name = "NAME", default_value = "sales-topic")]
    topic: String,
    /// Consumer group under which positions are stored and committed.
    #[arg(long, value_name = "NAME", default_value = "black-friday-group")]
    group: String,
    /// Valkey.
    #[arg(long, value_name = "redis://HOST:PORT")]
    valkey: String,
    /// Number of records after which to end and print the duration; by default there is no end.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    expect: Option<u64>,
}

/// The progress of all partitions together.
pub struct Progress {
    expected: u64,
    applied: AtomicU64,
    stop: AtomicBool,
    start: OnceLock<(Instant, f64)>,
}

impl Progress {
    /// The first batch was read: starts the measurement.
    pub fn started(&self) -> Result<()> {
        if self.start.get().is_none() {
            let now = (Instant::now(), cpu_s()?);
            self.start.get_or_init(|| now);
        }
        Ok(())
    }

    /// Adds a number of applied records.
    pub fn applied(&self, records: usize) {
        self.applied.fetch_add(records as u64, Ordering::Relaxed);
    }

    /// Whether enough records are applied, or another partition failed.
    pub fn is_done(&self) -> bool {
        self.count() >= self.expected || self.stop.load(Ordering::Relaxed)
    }

    fn count(&self) -> u64 {
        self.applied.load(Ordering::Relaxed)
    }

    /// The results, from the first batch to now.
    fn summary(&self) -> Result<Value> {
        let (start, cpu_start_s) = self.start.get().context("no record was read")?;
        let (records, elapsed_s) = (self.count(), start.elapsed().as_secs_f64());
        let cpu_s = cpu_s()? - cpu_start_s;
        Ok(json!({
            "records": records,
            "elapsed_s": elapsed_s,
            "records_per_s": records as f64 / elapsed_s,
            "cpu_s": cpu_s,
        }))
    }
}

/// CPU seconds of this process: user and kernel mode, all threads.
fn cpu_s() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).context("cannot read this process's CPU time")?;
    Ok((usage.user_time().num_microseconds() + usage.system_time().num_microseconds()) as f64 / 1e6)
}

/// Applies records until the expected number is reached, then prints the results as a line of JSON.
pub fn run(args: &Args) -> Result<()> {
    let consumer: Consumer = Arc::new(client(args)?);
    let partitions = assign(args, &consumer)?;
    let progress = Progress {
        expected: args.expect.unwrap_or(u64::MAX),
        applied: AtomicU64::new(0),
        stop: AtomicBool::new(false),
        start: OnceLock::new(),
    };
    thread::scope(|scope| {
        let threads: Vec<_> = partitions
            .into_iter()
            .map(|partition| scope.spawn(|| partition.run(&progress)))
            .collect();
        let served = serve(&consumer, &progress, || threads.iter().any(|t| t.is_finished()));
        let summary = progress.summary();
        progress.stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().map_err(|_| anyhow!("a partition's thread panicked"))??;
        }
        served.and(summary)
    })
    .and_then(|summary| {
        consumer.commit_consumer_state(CommitMode::Sync).context("cannot commit the offsets")?;
        Ok(printing::result(summary)?)
    })
}

fn client(args: &Args) -> Result<BaseConsumer> {
    ClientConfig::new()
        .set("bootstrap.servers", &args.kafka)
        .set("group.id", &args.group)
        .set("client.id", "native-bench")
        .set("enable.auto.commit", "true")
        .set("auto.commit.interval.ms", "1000")
        .set("enable.auto.offset.store", "false")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "16384")
        .set("socket.nagle.disable", "true")
        .create()
        .with_context(|| format!("cannot create a consumer for {}", args.kafka))
}

/// Assigns every partition, starting at its stored position. A single process needs no group
/// management.
fn assign(args: &Args, consumer: &Consumer) -> Result<Vec<Partition>> {
    let metadata = consumer
        .fetch_metadata(Some(&args.topic), METADATA_LIMIT)
        .with_context(|| format!("cannot reach Kafka at {}", args.kafka))?;
    let described = metadata.topics().first().filter(|topic| topic.error().is_none());
    let described = described
        .with_context(|| format!("topic `{}` does not exist at {}", args.topic, args.kafka))?;
    let mut list = TopicPartitionList::new();
    let mut starts = Vec::new();
    for partition in described.partitions() {
        let (group, topic) = (args.group.clone(), args.topic.clone());
        let (namespace, log_id) = (Namespace::fixed("", &NAMES)?, String::new());
        let source = Source { namespace, group, topic, log_id, partition: partition.id() };
        let mut store = Store::connect(&args.valkey)?;
        let (oldest, _) = consumer.fetch_watermarks(&args.topic, partition.id(), METADATA_LIMIT)?;
        let position = match source.stored(&store.read(&source.position_commands())?) {
            Stored::Position(position) => position,
            Stored::Nothing => oldest,
            Stored::Foreign | Stored::Adopted => bail!("Valkey has counts of another program"),
        };
        list.add_partition_offset(&args.topic, partition.id(), Offset::Offset(position))?;
        starts.push((store, source, position));
    }
    consumer.assign(&list).with_context(|| format!("cannot read topic `{}`", args.topic))?;
    let mut partitions = Vec::new();
    for (store, source, position) in starts {
        let queue = consumer
            .split_partition_queue(&source.topic, source.partition)
            .with_context(|| format!("{}/{} has no queue", source.topic, source.partition))?;
        partitions.push(Partition { consumer: consumer.clone(), queue, store, source, position });
    }
    // Records that arrived before that are in the client's own queue. They are read again.
    let mut early = BTreeSet::new();
    while let Some(record) = consumer.poll(Duration::ZERO) {
        early.insert(record.context("cannot read")?.partition());
    }
    for Partition { source, position, .. } in &partitions {
        if early.contains(&source.partition) {
            let offset = Offset::Offset(*position);
            consumer.seek(&source.topic, source.partition, offset, METADATA_LIMIT)?;
        }
    }
    Ok(partitions)
}

/// Handles the client's events until enough records are applied or a thread has ended.
fn serve(consumer: &Consumer, progress: &Progress, ended: impl Fn() -> bool) -> Result<()> {
    let (mut count, mut since) = (0, Instant::now());
    while !progress.is_done() && !ended() {
        match consumer.poll(SERVE) {
            Some(Err(error)) => tracing::error!(%error, "cannot read; the client tries again"),
            // It would be missing in its partition.
            Some(Ok(record)) => bail!("record {} is in no partition's queue", record.offset()),
            None => {}
        }
        if progress.count() > count {
            (count, since) = (progress.count(), Instant::now());
        }
        ensure!(
            progress.expected == u64::MAX || since.elapsed() < IDLE_MAX,
            "no record was applied for {IDLE_MAX:?}: {count} of {} are applied",
            progress.expected
        );
    }
    Ok(())
}
