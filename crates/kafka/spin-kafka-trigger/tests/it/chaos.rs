//! Members that are started, stopped and killed at random under load, on a real Kafka broker.
//!
//! `CHAOS_SECONDS` sets the duration (20 by default); `CHAOS_SEED` repeats a run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::support::cluster::create_topic;
use crate::support::journal::Journal;
use crate::support::{WAIT_LIMIT, config, member, produce};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use spin_kafka_trigger::{GroupProtocol, Trigger};
use test_servers::{Kafka, KafkaConfig};
use tokio::process::Child;

const TOPIC: &str = "chaos";
const PARTITIONS: i32 = 4;
const MEMBERS: usize = 3;
/// Number of records that are written to each partition between two events.
const BURST: usize = 500;

/// A group under test: its members, and the journal that they share.
struct Team {
    name: String,
    settings: serde_json::Value,
    folder: PathBuf,
    journal: Journal,
    members: [Option<Child>; MEMBERS],
    killed: u32,
    drained: u32,
}

impl Team {
    fn new(folder: &Path, brokers: &str, protocol: &str, keeps_position: bool) -> Self {
        let name = format!("{protocol}-{}", if keeps_position { "checkpoint" } else { "plain" });
        let folder = folder.join(&name);
        std::fs::create_dir_all(&folder).unwrap();
        let settings = json!({
            "brokers": brokers,
            "group": name,
            "protocol": protocol,
            "keeps_position": keeps_position,
            "folder": folder,
        });
        let journal = Journal::new(&folder, keeps_position);
        let members = Default::default();
        Self { name, settings, folder, journal, members, killed: 0, drained: 0 }
    }

    /// Starts a member that is not running, or kills or stops one that is.
    async fn change_one(&mut self, random: &mut fastrand::Rng) {
        let slot = random.usize(..MEMBERS);
        let Some(mut child) = self.members[slot].take() else {
            return self.start(slot);
        };
        if random.bool() {
            child.kill().await.unwrap();
            self.killed += 1;
        } else {
            let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
            kill(pid, Signal::SIGTERM).unwrap();
            let status = child.wait().await.unwrap();
            assert!(status.success(), "{}: {status}\n{}", self.name, self.log());
            self.drained += 1;
        }
    }

    fn start(&mut self, slot: usize) {
        let log = self.folder.join("log");
        self.members[slot] = Some(member::start(
            "chaos::members_that_are_killed_at_random_lose_no_record",
            &self.settings,
            &log,
        ));
    }

    fn start_all(&mut self) {
        (0..MEMBERS).for_each(|slot| {
            if self.members[slot].is_none() {
                self.start(slot);
            }
        });
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    /// Whether every record of every partition was applied.
    fn is_done(&self, end: i64) -> bool {
        (0..PARTITIONS).all(|partition| self.journal.covered(partition) >= end)
    }

    /// Every record must be applied at least once; with a checkpoint each batch must begin where
    /// another ended.
    fn check(&self, end: i64) {
        let mut applied = 0;
        for partition in 0..PARTITIONS {
            assert_eq!(
                self.journal.covered(partition),
                end,
                "{}: partition {partition}",
                self.name
            );
            let batches = self.journal.batches(partition);
            applied += batches.iter().map(|(start, end)| end - start).sum::<i64>();
            if self.journal.keeps_position {
                let mut next = 0;
                for (start, end) in batches {
                    assert_eq!(start, next, "{}: partition {partition}", self.name);
                    next = end;
                }
            }
        }
        let again = applied - end * i64::from(PARTITIONS);
        println!(
            "{}: {} records, {again} applied again; {} killed, {} drained",
            self.name,
            end * i64::from(PARTITIONS),
            self.killed,
            self.drained,
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_are_killed_at_random_lose_no_record() {
    if let Some(settings) = member::settings() {
        return one_member(settings).await;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seconds = number("CHAOS_SECONDS").unwrap_or(20);
    let seed = number("CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("CHAOS_SECONDS={seconds} CHAOS_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);

    // A KIP-848 member's session timeout is set at the broker, not at the member.
    let properties = vec![
        "group.consumer.min.session.timeout.ms=1000".to_owned(),
        "group.consumer.session.timeout.ms=6000".to_owned(),
        "group.consumer.min.heartbeat.interval.ms=500".to_owned(),
        "group.consumer.heartbeat.interval.ms=1000".to_owned(),
    ];
    let kafka = Kafka::start(KafkaConfig { properties, ..KafkaConfig::default() }).await.unwrap();
    let brokers = kafka.bootstrap();
    create_topic(&brokers, TOPIC, PARTITIONS).await;
    let folder = tempfile::tempdir().unwrap();
    let mut teams = Vec::new();
    for protocol in ["classic", "consumer"] {
        for keeps_position in [false, true] {
            teams.push(Team::new(folder.path(), &brokers, protocol, keeps_position));
        }
    }
    teams.iter_mut().for_each(Team::start_all);

    let (begun, mut end) = (Instant::now(), 0);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let brokers = brokers.clone();
        let written = tokio::task::spawn_blocking(move || {
            (0..PARTITIONS).for_each(|partition| produce(&brokers, TOPIC, partition, BURST, 100));
        });
        written.await.unwrap();
        end += BURST as i64;
        let team = random.usize(..teams.len());
        teams[team].change_one(&mut random).await;
    }
    teams.iter_mut().for_each(Team::start_all);
    let rest = Instant::now();
    for team in &teams {
        while !team.is_done(end) {
            assert!(rest.elapsed() < WAIT_LIMIT, "{} makes no progress\n{}", team.name, team.log());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    teams.iter().for_each(|team| team.check(end));
}

/// Runs one member of a team in a separate process.
async fn one_member(settings: serde_json::Value) {
    let text = |name: &str| settings[name].as_str().unwrap().to_owned();
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let journal =
        Journal::new(Path::new(&text("folder")), settings["keeps_position"].as_bool().unwrap());
    let config = config(&text("brokers"), TOPIC)
        .group(text("group"))
        .group_protocol(match text("protocol").as_str() {
            "classic" => GroupProtocol::Classic,
            _ => GroupProtocol::Consumer,
        })
        .batch_records_max(50);
    Trigger::run(config, journal, member::terminated()).await.unwrap();
}
