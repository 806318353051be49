//! Handlers that return records: each input has exactly one output for a reader with the isolation
//! level `read_committed`, on a real Kafka broker.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rdkafka::admin::TopicReplication;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};
use serde_json::json;
use spin_kafka_trigger::{
    Answer, Batch, Error, Failure, OutgoingRecord, Rejection, Trigger, headers, transform_fn,
};
use test_servers::{ClusterConfig, KafkaCluster};
use tokio::process::Child;
use tokio_util::sync::CancellationToken;

use crate::support::cluster::{brokers, create_topic, create_topic_as, create_topic_with};
use crate::support::letters::{Letter, letters, records};
use crate::support::{WAIT_LIMIT, committed, config, member, producer, show_log, until, within};

const INPUT: &str = "input";
const OUTPUT: &str = "output";
const LETTERS: &str = "input.dead-letter";
const PARTITIONS: i32 = 4;
const MEMBERS: usize = 3;
/// Number of records that are written between two events, for all partitions.
const BURST: u64 = 400;

/// Returns one record for each number, rejects some numbers, and traps at others.
async fn transform(batch: Arc<Batch>) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    for record in &batch.records {
        let value = record.value.clone().unwrap_or_default();
        let number: u64 = String::from_utf8_lossy(&value).parse().unwrap();
        match number {
            _ if number.is_multiple_of(397) => return Err(Failure::Trap("as requested".into())),
            _ if number.is_multiple_of(101) => {
                answer.rejections.push(Rejection::new(record.offset, "as requested"));
            }
            _ => {
                let key = batch.partition.to_string();
                answer.records.push(OutgoingRecord::new(OUTPUT, value).with_key(key));
            }
        }
    }
    Ok(answer)
}

fn is_rejected(number: u64) -> bool {
    number.is_multiple_of(397) || number.is_multiple_of(101)
}

fn consumer(brokers: &str, isolation: &str) -> BaseConsumer {
    ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "judge")
        .set("enable.partition.eof", "true")
        .set("isolation.level", isolation)
        .create()
        .unwrap()
}

/// Waits until no transaction is open, so that all of the topic can be read.
async fn settle(brokers: &str, topic: &str) {
    let clients = ["read_committed", "read_uncommitted"].map(|level| consumer(brokers, level));
    until("the end of all transactions", || {
        (0..PARTITIONS).all(|partition| {
            let limit = Duration::from_secs(10);
            let end = |client: &BaseConsumer| client.fetch_watermarks(topic, partition, limit).ok();
            let [committed, written] = clients.each_ref().map(end);
            committed.is_some() && committed == written
        })
    })
    .await;
}

/// The numbers in each partition of a topic, for a reader with the isolation level
/// `read_committed`.
fn read(brokers: &str, topic: &str) -> BTreeMap<i32, Vec<u64>> {
    let consumer = consumer(brokers, "read_committed");
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let (mut numbers, mut ended) = (BTreeMap::<_, Vec<_>>::new(), 0);
    let begun = Instant::now();
    while ended < PARTITIONS {
        assert!(begun.elapsed() < WAIT_LIMIT, "{topic} cannot be read");
        match consumer.poll(Duration::from_secs(1)) {
            Some(Ok(record)) => {
                let number = std::str::from_utf8(record.payload().unwrap()).unwrap();
                numbers.entry(record.partition()).or_default().push(number.parse().unwrap());
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => ended += 1,
            Some(Err(error)) => println!("{error}"),
            None => {}
        }
    }
    numbers
}

/// How often each number is in a topic.
fn count(partitions: &BTreeMap<i32, Vec<u64>>) -> BTreeMap<u64, u32> {
    partitions.values().flatten().fold(BTreeMap::new(), |mut counts, number| {
        *counts.entry(*number).or_default() += 1;
        counts
    })
}

/// The members of a group, and the brokers.
struct Team {
    kafka: KafkaCluster,
    nodes: usize,
    settings: serde_json::Value,
    log: std::path::PathBuf,
    members: [Option<Child>; MEMBERS],
    killed: u32,
    drained: u32,
    ended: u32,
    brokers_killed: u32,
}

impl Team {
    fn start(&mut self, slot: usize) {
        let test = "transactions::each_input_has_one_output_when_members_and_the_broker_are_killed";
        self.settings["slot"] = json!(slot);
        self.members[slot] = Some(member::start(test, &self.settings, &self.log));
    }

    /// Starts the members again that ended on their own, as a supervisor does. The broker that takes
    /// over the group of a killed one may fence a static member that still runs.
    fn start_ended(&mut self) {
        for slot in 0..MEMBERS {
            let child = self.members[slot].as_mut();
            if let Some(status) = child.and_then(|child| child.try_wait().unwrap()) {
                assert!(self.brokers_killed > 0, "{status}\n{}", self.log());
                self.ended += 1;
                self.start(slot);
            }
        }
    }

    /// Starts a member if none is running.
    fn start_one(&mut self) {
        if self.members.iter().all(Option::is_none) {
            self.start(0);
        }
    }

    /// Starts a member that is not running, or kills or stops one that is.
    async fn change_member(&mut self, slot: usize, is_killed: bool) {
        self.start_ended();
        let Some(mut child) = self.members[slot].take() else { return self.start(slot) };
        if is_killed {
            child.kill().await.unwrap();
            self.killed += 1;
        } else {
            let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
            kill(pid, Signal::SIGTERM).unwrap();
            let status = child.wait().await.unwrap();
            if status.signal() == Some(Signal::SIGTERM as i32) {
                // It had only just been started, and did not handle the signal yet.
                self.killed += 1;
                return;
            }
            assert!(status.success(), "{status}\n{}", self.log());
            self.drained += 1;
        }
    }

    /// Kills all members that run, at the same time.
    fn kill_members(&mut self) {
        self.start_ended();
        for mut child in self.members.iter_mut().filter_map(Option::take) {
            child.start_kill().unwrap();
            self.killed += 1;
        }
    }

    /// Kills a broker, and starts it again. Each partition keeps a leader: all replicas are in sync
    /// before.
    async fn kill_broker(&mut self, index: usize) {
        let client = consumer(&self.kafka.bootstrap(), "read_committed");
        until("the replicas in sync", || {
            client.fetch_metadata(None, Duration::from_secs(5)).is_ok_and(|metadata| {
                let mut partitions = metadata.topics().iter().flat_map(|t| t.partitions());
                partitions.all(|found| found.leader() >= 0 && found.isr().len() == self.nodes)
            })
        })
        .await;
        self.kafka.kill(index).await.unwrap();
        self.kafka.restart(index).await.unwrap();
        self.brokers_killed += 1;
    }

    /// Waits until the group has handled this many inputs.
    async fn until_handled(&mut self, brokers: &str, inputs: u64) {
        let (mut reached, mut since) = (0, Instant::now());
        while reached < inputs {
            self.start_ended();
            let offset = |partition| committed(brokers, INPUT, INPUT, partition).unwrap_or(0);
            let handled = (0..PARTITIONS).map(offset).sum::<i64>().unsigned_abs();
            if handled > reached {
                (reached, since) = (handled, Instant::now());
            }
            let stalled = since.elapsed() >= WAIT_LIMIT;
            assert!(!stalled, "{reached} of {inputs} inputs handled\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

/// `CHAOS_SECONDS` sets the duration (8 by default); then there are three brokers, which are killed,
/// too. `CHAOS_SEED` repeats a run. With one broker its kills would break transactions: see "Limits
/// of the broker" in ADR 0025.
#[tokio::test(flavor = "multi_thread")]
async fn each_input_has_one_output_when_members_and_the_broker_are_killed() {
    if let Some(settings) = member::settings() {
        return one_member(settings).await;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let (kills_broker, seconds) = match number("CHAOS_SECONDS") {
        Some(seconds) => (true, seconds),
        None => (false, 8),
    };
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("CHAOS_SECONDS={seconds} CHAOS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    let properties =
        vec!["transaction.abort.timed.out.transaction.cleanup.interval.ms=500".to_owned()];
    let nodes = if kills_broker { 3 } else { 1 };
    let cluster = ClusterConfig { nodes, properties, ..ClusterConfig::default() };
    let kafka = KafkaCluster::start(cluster).await.unwrap();
    let brokers = kafka.bootstrap();
    for topic in [INPUT, OUTPUT, LETTERS] {
        let replicas = TopicReplication::Fixed(nodes as i32);
        create_topic_as(&brokers, topic, replicas, PARTITIONS, &[]).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut team = Team {
        kafka,
        nodes,
        settings: json!({ "brokers": brokers }),
        log: folder.path().join("log"),
        members: Default::default(),
        killed: 0,
        drained: 0,
        ended: 0,
        brokers_killed: 0,
    };
    (0..MEMBERS).for_each(|slot| team.start(slot));

    let producer: Arc<BaseProducer> = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("enable.idempotence", "true")
        .create()
        .map(Arc::new)
        .unwrap();
    let (begun, mut end) = (Instant::now(), 0);
    // At least one member is killed, and the broker if it is to be.
    while begun.elapsed() < Duration::from_secs(seconds)
        || kills_broker && team.brokers_killed == 0
        || team.killed == 0
    {
        for number in end..end + BURST {
            let value = number.to_string();
            let partition = (number % PARTITIONS as u64) as i32;
            let record = BaseRecord::<(), _>::to(INPUT).partition(partition).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            producer.poll(Duration::ZERO);
        }
        end += BURST;
        let is_late = begun.elapsed() > Duration::from_secs(seconds) / 2;
        if kills_broker && (random.u32(..5) == 0 || is_late && team.brokers_killed == 0) {
            team.kill_broker(random.usize(..nodes)).await;
        } else if random.u32(..8) == 0 {
            team.kill_members();
        } else {
            team.change_member(random.usize(..MEMBERS), random.u32(..4) > 0).await;
        }
        let flushed = producer.clone();
        tokio::task::spawn_blocking(move || flushed.flush(WAIT_LIMIT)).await.unwrap().unwrap();
        // About half of the events interrupt the recovery from the one before.
        if random.bool() {
            team.start_one();
            team.until_handled(&brokers, end - BURST).await;
        }
    }
    for slot in 0..MEMBERS {
        if team.members[slot].is_none() {
            team.start(slot);
        }
    }
    team.until_handled(&brokers, end).await;
    for topic in [OUTPUT, LETTERS] {
        settle(&brokers, topic).await;
    }
    let [inputs, written, letters] = [INPUT, OUTPUT, LETTERS].map(|topic| read(&brokers, topic));
    let (outputs, letters) = (count(&written), count(&letters));
    println!(
        "{end} inputs, {} outputs, {} dead letters; members: {} killed, {} stopped, {} ended; \
         brokers: {} killed",
        outputs.len(),
        letters.len(),
        team.killed,
        team.drained,
        team.ended,
        team.brokers_killed,
    );
    let log = team.log();
    log.lines().filter(|line| line.contains("`Err` value")).for_each(|line| println!("{line}"));
    for number in 0..end {
        let found = (outputs.get(&number).copied(), letters.get(&number).copied());
        let expected = if is_rejected(number) { (None, Some(1)) } else { (Some(1), None) };
        assert_eq!(found, expected, "number {number}\n{}", team.log());
    }
    // The outputs of the records of a partition have the same key, and keep the order of the inputs.
    for inputs in inputs.values() {
        let outputs: Vec<u64> = inputs.iter().copied().filter(|n| !is_rejected(*n)).collect();
        let is_subsequence = |written: &Vec<u64>| {
            let mut written = written.iter();
            outputs.iter().all(|output| written.any(|number| number == output))
        };
        assert!(written.values().any(is_subsequence), "{outputs:?} in {written:?}");
    }
}

/// Runs one member in a separate process.
async fn one_member(settings: serde_json::Value) {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut config = config(settings["brokers"].as_str().unwrap(), INPUT)
        .output_topics([OUTPUT])
        .transaction_timeout(Duration::from_secs(4))
        .batch_records_max(50)
        .poison_attempts(1);
    // One of the members is static, and so its transactional id remains the same.
    if settings["slot"] == 0 {
        config = config.instance_id("static");
    }
    Trigger::run(config, transform_fn(transform), member::terminated()).await.unwrap();
}

/// Does what the record's value selects.
async fn obey(batch: Arc<Batch>) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    for record in &batch.records {
        let value = record.value.clone().unwrap_or_default();
        let output = || OutgoingRecord::new("obedient-output", value.clone());
        match &*value {
            b"reject" => answer.rejections.push(Rejection::new(record.offset, "as requested")),
            b"large" => answer.records.push(OutgoingRecord::new("obedient-output", vec![0; 5_000])),
            b"many" => answer.records.extend((0..11).map(|_| output())),
            b"stray" => answer.records.push(OutgoingRecord::new("elsewhere", value)),
            _ => answer.records.push(output()),
        }
    }
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_output_is_a_dead_letter_and_a_fenced_producer_is_replaced() {
    show_log();
    let (brokers, topic, output) = (brokers(), "obedient", "obedient-output");
    create_topic(&brokers, topic, 1).await;
    create_topic_with(&brokers, output, 1, &[("max.message.bytes", "2000")]).await;
    create_topic(&brokers, "obedient.dead-letter", 1).await;
    let config = config(&brokers, topic)
        .output_topics([output])
        .output_records_max(10)
        .poison_attempts(1)
        .instance_id("one")
        .client([("compression.type", "none")]);
    let trigger = Trigger::new(config, transform_fn(obey)).unwrap();
    let (metrics, stop) = (trigger.metrics(), CancellationToken::new());
    let run = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
    let write = |values: &[&str]| {
        let producer = producer(&brokers);
        for value in values {
            producer.send(BaseRecord::<(), _>::to(topic).payload(*value)).map_err(|e| e.0).unwrap();
        }
        producer.flush(WAIT_LIMIT).unwrap();
    };
    let is_committed = |offset| committed(&brokers, topic, topic, 0) == Some(offset);
    let outputs = || {
        let values = records(&brokers, output).into_iter().filter_map(|record| record.value);
        values.map(|value| String::from_utf8(value).unwrap()).collect::<Vec<_>>()
    };

    write(&["a", "large", "many", "reject", "b"]);
    until("the first offset", || is_committed(5)).await;
    assert_eq!(outputs(), ["a", "b"]);
    let class = |letter: &Letter| letter.header(headers::CLASS);
    let classes: Vec<String> = letters(&brokers, topic).iter().map(class).collect();
    assert_eq!(classes, ["output", "output", "rejected"]);

    let failures = metrics.transaction_failures.get();
    let other: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &brokers)
        .set("transactional.id", "obedient.one.8")
        .create()
        .unwrap();
    other.init_transactions(WAIT_LIMIT).unwrap();
    write(&["c"]);
    until("the offset of the next producer", || is_committed(6)).await;
    assert_eq!(outputs(), ["a", "b", "c"]);
    assert!(metrics.transaction_failures.get() > failures, "the producer was not fenced");

    write(&["stray"]);
    let error = within("the engine's end", run).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Handler { offset: 6, .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("`elsewhere`") && error.contains("output_topics"), "{error}");
    assert!(is_committed(6) && outputs().len() == 3);
}

/// Returns a record for each one; of partition 0 it is too large for the topic.
async fn enlarge(batch: Arc<Batch>) -> Result<Answer, Failure> {
    let mut answer = Answer::default();
    for record in &batch.records {
        let value = record.value.clone().unwrap_or_default();
        let value = if batch.partition == 0 { vec![0; 5_000].into() } else { value };
        answer.records.push(OutgoingRecord::new("enlarged", value));
    }
    Ok(answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_record_of_one_partition_does_not_make_those_of_others_dead_letters() {
    show_log();
    let (brokers, topic, output) = (brokers(), "mixed", "enlarged");
    create_topic(&brokers, topic, PARTITIONS).await;
    create_topic_with(&brokers, output, 1, &[("max.message.bytes", "2000")]).await;
    create_topic(&brokers, "mixed.dead-letter", 1).await;
    let producer = producer(&brokers);
    const EACH: usize = 10;
    for number in 0..EACH * PARTITIONS as usize {
        let (value, partition) = (number.to_string(), number as i32 % PARTITIONS);
        let record = BaseRecord::<(), _>::to(topic).partition(partition).payload(&value);
        producer.send(record).map_err(|e| e.0).unwrap();
    }
    producer.flush(WAIT_LIMIT).unwrap();
    // Many transactions contain records of several partitions.
    let config = config(&brokers, topic)
        .output_topics([output])
        .batch_records_max(1)
        .poison_attempts(1)
        .client([("compression.type", "none")]);
    let trigger = Trigger::new(config, transform_fn(enlarge)).unwrap();
    let stop = CancellationToken::new();
    let run = tokio::spawn(trigger.until(stop.clone().cancelled_owned()));
    until("the end of all partitions", || {
        (0..PARTITIONS).all(|p| committed(&brokers, topic, topic, p) == Some(EACH as i64))
    })
    .await;
    stop.cancel();
    within("the engine's end", run).await.unwrap().unwrap();
    assert_eq!(records(&brokers, output).len(), EACH * (PARTITIONS as usize - 1));
    let letters = letters(&brokers, topic);
    assert_eq!(letters.len(), EACH);
    assert!(letters.iter().all(|letter| letter.header(headers::PARTITION) == "0"));
}
