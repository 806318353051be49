//! The pipeline under test, with all its servers.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use ledger::Difference;
use tempfile::TempDir;
use test_servers::FakeClock;
use tokio::sync::Mutex;

use super::books::Tally;
use super::kafka::Kafka;
use super::letters::Letters;
use super::link::Link;
use super::manifest::{Setup, manifest};
use super::member::Member;
use super::proxy::{LinkState, Proxy};
use super::store::StoreHost;
use super::texts;
use super::words::{self, compare};
use super::writers::Texts;
use crate::{Launch, Pipeline, Wiring, in_time, in_time_mut};

/// The topic of the sales.
pub const TOPIC: &str = "sales";
/// The dead-letter topic.
pub const LETTERS: &str = "sales.dead-letter";
/// Number of partitions of the sales: two for each member of the group.
const PARTITIONS: i32 = 6;
/// The consumer group of the aggregator.
const GROUP: &str = "counters";

/// A function that all members run.
pub struct Function {
    /// The topic that it counts.
    pub topic: &'static str,
    /// Number of partitions of the topic.
    pub partitions: i32,
    /// The key of its positions.
    positions: &'static str,
}

/// The aggregator, and the function that counts words.
pub const FUNCTIONS: [Function; 2] = [
    Function { topic: TOPIC, partitions: PARTITIONS, positions: "offset:counters:sales" },
    Function {
        topic: texts::TOPIC,
        partitions: texts::PARTITIONS,
        positions: "{words:1}/position:words:texts",
    },
];

/// Indexes of the members: two processes with the request path, which also count, and one that only
/// counts.
pub const CHAINED: usize = 0;
/// The process with the fused wiring.
pub const FUSED: usize = 1;
/// The process that only counts.
pub const COUNTER: usize = 2;

/// A pipeline with all its servers.
pub struct World {
    /// The brokers.
    pub kafka: Kafka,
    /// Valkey.
    pub store: StoreHost,
    /// The wall clock of the chained process.
    pub clock: FakeClock,
    /// The texts that were written.
    pub texts: Arc<Texts>,
    letters: Mutex<Letters>,
    members: Vec<Member>,
    spare: Launch,
    clients: Proxy,
    hops: [Proxy; 2],
    _manifests: TempDir,
}

impl World {
    /// Starts everything. The assignment of the partitions may not be complete yet.
    pub async fn start(setup: &Setup) -> Result<Self> {
        let (kafka, store) = tokio::try_join!(Kafka::start(), StoreHost::start())?;
        let clients = Proxy::start().await?;
        let hops = [Proxy::start().await?, Proxy::start().await?];
        let topics = FUNCTIONS.iter().map(|function| (function.topic, function.partitions));
        let topics = topics.chain([(words::LETTERS, 1)]);
        let making = topics.map(|(topic, partitions)| kafka.make_topic(topic, partitions));
        try_join_all(making).await.context("cannot create the topics")?;
        let texts = Arc::new(Texts::new(&kafka.bootstrap())?);
        let clock = FakeClock::new()?;
        let manifests = TempDir::with_prefix("manifests-")?;
        let launch = |wiring: Wiring| -> Result<Launch> {
            Ok(Launch::new(
                manifest(wiring, setup, manifests.path())?,
                kafka.bootstrap(),
                store.url(),
                TOPIC,
            )
            .variable("kafka_topic", TOPIC)
            .variable("kafka_group", GROUP))
        };
        let url = |hop: &Proxy| format!("http://127.0.0.1:{}", hop.port());
        let mut chained = launch(Wiring::Chained)?
            .variable("bridge_url", &url(&hops[0]))
            .variable("writer_url", &url(&hops[1]));
        chained.envs = clock.envs();
        let fused = launch(Wiring::Fused)?;
        let mut members = Vec::new();
        for launch in [chained, fused.clone(), fused.clone()] {
            members.push(Member::start(launch).await?);
        }
        let world = Self {
            kafka,
            store,
            clock,
            texts,
            letters: Mutex::default(),
            members,
            spare: fused,
            clients,
            hops,
            _manifests: manifests,
        };
        world.aim()?;
        Ok(world)
    }

    /// The URL for the clients.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.clients.port())
    }

    /// The member with this index.
    pub fn member(&self, index: usize) -> &Member {
        &self.members[index]
    }

    /// Kills a member and starts it again.
    pub async fn crash(&mut self, index: usize) -> Result<()> {
        self.members[index].kill().await?;
        self.come_back(index).await
    }

    /// Stops a member with SIGTERM and starts it again.
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        self.members[index].stop().await?;
        self.come_back(index).await
    }

    async fn come_back(&mut self, index: usize) -> Result<()> {
        self.members[index].come_back().await?;
        self.aim()
    }

    /// Starts another member, which gets no requests. The caller must stop it.
    pub async fn one_more(&self) -> Result<Pipeline> {
        Pipeline::launch(&self.spare).await
    }

    /// Sets the state of a part of the network.
    pub fn set(&self, link: Link, state: LinkState) {
        match link {
            Link::Clients => self.clients.set(state),
            Link::Hops => self.hops.iter().for_each(|hop| hop.set(state)),
            Link::Kafka => self.kafka.set(state),
            Link::Store => self.store.set(state),
        }
    }

    /// Sets the targets of the proxies.
    fn aim(&self) -> Result<()> {
        let chained = self.members[CHAINED].port()?;
        self.clients.aim(vec![chained, self.members[FUSED].port()?]);
        self.hops.iter().for_each(|hop| hop.aim(vec![chained]));
        Ok(())
    }

    /// Redirects the clients to another server.
    pub fn send_clients_to(&self, port: u16) {
        self.clients.aim(vec![port]);
    }

    /// Waits until both functions have counted every record of the logs, and the dead letters of the
    /// texts are written.
    pub async fn settle(&self) -> Result<()> {
        for function in &FUNCTIONS {
            let ends = self.kafka.ends(function.topic, function.partitions).await?;
            in_time("the log is counted to its end", async || {
                let positions = self.positions(function).await.ok()?;
                let reached = |(partition, end): (usize, &i64)| {
                    *end == 0 || positions.get(&partition.to_string()) == Some(&end.to_string())
                };
                ends.iter().enumerate().all(reached).then_some(())
            })
            .await?;
        }
        let mut letters = self.letters.lock().await;
        in_time_mut("the dead letters of all rejected texts", &mut *letters, async |letters| {
            letters.read(&self.kafka).await.ok()?;
            letters.ids.is_superset(&self.texts.books().rejected).then_some(())
        })
        .await
    }

    /// Whether both functions have counted their logs to the ends. A log that lost records may end
    /// before the stored position.
    pub async fn has_counted(&self) -> Result<bool> {
        for function in &FUNCTIONS {
            let ends = self.kafka.ends(function.topic, function.partitions).await?;
            let positions = self.positions(function).await?;
            let position = |partition: usize| positions.get(&partition.to_string())?.parse().ok();
            if !ends.iter().enumerate().all(|(i, end)| position(i).unwrap_or(0) >= *end) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Forgets the dead letters of the texts, because their topic was deleted.
    pub async fn forget_letters(&self) {
        *self.letters.lock().await = Letters::default();
        let books = &mut *self.texts.books();
        books.maybe_rejected.append(&mut books.rejected);
    }

    /// Compares the windows with the texts. Dead letters that are missing are found by
    /// [`settle`](Self::settle).
    pub async fn compare_texts(&self) -> Result<(Tally, Vec<Difference>)> {
        let books = self.texts.books().clone();
        let (tally, mut differences) = compare(&books, &self.store.direct_url()).await?;
        let known =
            |id: &&String| books.rejected.contains(*id) || books.maybe_rejected.contains(*id);
        let letters = self.letters.lock().await;
        let superfluous = letters.ids.iter().filter(|id| !known(id));
        differences.extend(superfluous.map(|id| Difference {
            key: format!("{} {id}", words::LETTERS),
            expected: "nothing".into(),
            actual: "a dead letter".into(),
        }));
        Ok((tally, differences))
    }

    /// The position of each partition that a function has stored.
    pub async fn counted(&self, function: &Function) -> Result<Vec<i64>> {
        let positions = self.positions(function).await?;
        let counted = |partition: i32| -> Result<i64> {
            let position = positions.get(&partition.to_string());
            position.map_or(Ok(0), |position| Ok(position.parse()?))
        };
        (0..function.partitions).map(counted).collect()
    }

    /// The end offsets and the stored positions.
    pub async fn stand(&self) -> Result<String> {
        let mut stand = String::new();
        for function in &FUNCTIONS {
            let Function { topic, partitions, .. } = function;
            let ends = self.kafka.ends(topic, *partitions).await?;
            let positions = self.positions(function).await?;
            stand += &format!("{topic} ends at {ends:?}, the positions are {positions:?}\n");
        }
        Ok(stand)
    }

    /// The stored position of each partition, by its number.
    async fn positions(&self, function: &Function) -> Result<BTreeMap<String, String>> {
        self.store.connect().await?.fields(function.positions).await
    }

    /// The recent logs of the members, for error texts.
    pub fn logs(&self) -> String {
        let logs = self.members.iter().map(Member::log);
        logs.collect::<Vec<_>>().join("\n--- next member\n")
    }
}
