//! The pipeline under test, with all its servers.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use test_servers::FakeClock;

use super::kafka::Kafka;
use super::link::Link;
use super::manifest::{Setup, manifest};
use super::member::Member;
use super::proxy::{LinkState, Proxy};
use super::store::StoreHost;
use super::windows;
use crate::{Launch, Pipeline, Store, Wiring, in_time};

/// The topic of the sales.
pub const TOPIC: &str = "sales";
/// The dead-letter topic.
pub const LETTERS: &str = "sales.dead-letter";
/// Number of partitions: two for each member of the group.
pub const PARTITIONS: i32 = 6;
/// The consumer group.
const GROUP: &str = "counters";

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
        kafka.make_topic(TOPIC, PARTITIONS).await.context("cannot create the topic")?;
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

    /// Waits until both functions have counted every record of the log.
    pub async fn settle(&self) -> Result<()> {
        let ends = self.kafka.ends(TOPIC, PARTITIONS).await?;
        let store = self.store.connect().await?;
        in_time("the log is counted to its end", async || {
            let positions = positions(&store).await.ok()?;
            let reached = |(partition, end): (usize, &i64)| {
                let end_text = Some(end.to_string());
                let at = |positions: &Positions| positions.get(&partition.to_string()).cloned();
                *end == 0 || positions.iter().all(|positions| at(positions) == end_text)
            };
            ends.iter().enumerate().all(reached).then_some(())
        })
        .await?;
        Ok(())
    }

    /// The position of each partition that both functions have stored.
    pub async fn counted(&self) -> Result<Vec<i64>> {
        let positions = positions(&self.store.connect().await?).await?;
        let counted = |partition: i32| -> Result<i64> {
            let mut lowest = i64::MAX;
            for positions in &positions {
                let position = positions.get(&partition.to_string());
                lowest = lowest.min(position.map_or(Ok(0), |position| position.parse())?);
            }
            Ok(lowest)
        };
        (0..PARTITIONS).map(counted).collect()
    }

    /// The end offsets and the stored positions.
    pub async fn stand(&self) -> Result<String> {
        let ends = self.kafka.ends(TOPIC, PARTITIONS).await?;
        let [sales, windows] = positions(&self.store.connect().await?).await?;
        Ok(format!(
            "the log ends at {ends:?}, the sales are at {sales:?}, the windows at {windows:?}"
        ))
    }

    /// The recent logs of the members, for error texts.
    pub fn logs(&self) -> String {
        let logs = self.members.iter().map(Member::log);
        logs.collect::<Vec<_>>().join("\n--- next member\n")
    }
}

/// The stored position of each partition, by its number.
type Positions = BTreeMap<String, String>;

/// The positions of the aggregator, and of the function that counts windows.
async fn positions(store: &Store) -> Result<[Positions; 2]> {
    let sales = store.fields(&format!("offset:{GROUP}:{TOPIC}")).await?;
    Ok([sales, store.fields(&windows::positions_key()).await?])
}
