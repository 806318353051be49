//! The pipeline under test with everything around it.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use local_servers::FakeClock;
use tempfile::TempDir;

use super::kafka::Kafka;
use super::link::Link;
use super::manifest::{Setup, manifest};
use super::member::Member;
use super::proxy::{Proxy, Weather};
use super::store::StoreHost;
use crate::{Launch, Pipeline, Store, Wiring, in_time};

/// The topic of every world.
pub const TOPIC: &str = "sales";
/// The topic of its dead letters.
pub const LETTERS: &str = "sales.dead-letter";
/// Its partitions: two for each member of the group.
pub const PARTITIONS: i32 = 6;
/// The group of every world.
const GROUP: &str = "counters";

/// Members of a world, by number: two front doors that also count, then one that only counts.
pub const CHAINED: usize = 0;
/// The fused front door.
pub const FUSED: usize = 1;
/// The one that only counts.
pub const COUNTER: usize = 2;

/// A pipeline and all that it depends on.
pub struct World {
    /// The brokers.
    pub kafka: Kafka,
    /// The store.
    pub store: StoreHost,
    /// The chained process's wall clock.
    pub clock: FakeClock,
    members: Vec<Member>,
    spare: Launch,
    clients: Proxy,
    hops: [Proxy; 2],
    _manifests: TempDir,
}

impl World {
    /// Starts everything. The members may still be sharing the partitions then.
    pub async fn start(setup: &Setup) -> Result<Self> {
        let (kafka, store) = tokio::try_join!(Kafka::start(), StoreHost::start())?;
        let clients = Proxy::start().await?;
        let hops = [Proxy::start().await?, Proxy::start().await?];
        kafka.make_topic(TOPIC, PARTITIONS).await.context("cannot make the topic")?;
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

    /// Where clients send sales.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.clients.port())
    }

    /// A member.
    pub fn member(&self, index: usize) -> &Member {
        &self.members[index]
    }

    /// Kills a member and starts it again.
    pub async fn crash(&mut self, index: usize) -> Result<()> {
        self.members[index].kill().await?;
        self.come_back(index).await
    }

    /// Ends a member as an operator would and starts it again.
    pub async fn restart(&mut self, index: usize) -> Result<()> {
        self.members[index].stop().await?;
        self.come_back(index).await
    }

    async fn come_back(&mut self, index: usize) -> Result<()> {
        self.members[index].come_back().await?;
        self.aim()
    }

    /// One member more, which takes no requests; to be stopped by whoever asks for it.
    pub async fn one_more(&self) -> Result<Pipeline> {
        Pipeline::launch(&self.spare).await
    }

    /// Changes the weather of a part of the network.
    pub fn set(&self, link: Link, weather: Weather) {
        match link {
            Link::Clients => self.clients.set(weather),
            Link::Hops => self.hops.iter().for_each(|hop| hop.set(weather)),
            Link::Kafka => self.kafka.set(weather),
            Link::Store => self.store.set(weather),
        }
    }

    /// Tells the network where the members are.
    fn aim(&self) -> Result<()> {
        let chained = self.members[CHAINED].port()?;
        self.clients.aim(vec![chained, self.members[FUSED].port()?]);
        self.hops.iter().for_each(|hop| hop.aim(vec![chained]));
        Ok(())
    }

    /// Sends clients to another server.
    pub fn send_clients_to(&self, port: u16) {
        self.clients.aim(vec![port]);
    }

    /// Waits until every record of the log is counted.
    pub async fn settle(&self) -> Result<()> {
        let ends = self.kafka.ends(TOPIC, PARTITIONS).await?;
        let store = self.store.look().await?;
        in_time("the log is counted to its end", async || {
            let positions = positions(&store).await.ok()?;
            let reached = |(partition, end): (usize, &i64)| {
                *end == 0 || positions.get(&partition.to_string()) == Some(&end.to_string())
            };
            ends.iter().enumerate().all(reached).then_some(())
        })
        .await?;
        Ok(())
    }

    /// Up to which offset each partition is counted.
    pub async fn counted(&self) -> Result<Vec<i64>> {
        let positions = positions(&self.store.look().await?).await?;
        let counted = |partition: i32| match positions.get(&partition.to_string()) {
            Some(position) => Ok(position.parse()?),
            None => Ok(0),
        };
        (0..PARTITIONS).map(counted).collect()
    }

    /// Where log and store stand.
    pub async fn stand(&self) -> Result<String> {
        let ends = self.kafka.ends(TOPIC, PARTITIONS).await?;
        let positions = positions(&self.store.look().await?).await?;
        Ok(format!("the log ends at {ends:?}, the store is at {positions:?}"))
    }

    /// What the members said lately, for whoever looks for a fault.
    pub fn logs(&self) -> String {
        let logs = self.members.iter().map(Member::log);
        logs.collect::<Vec<_>>().join("\n--- next member\n")
    }
}

/// The stored position of each partition.
async fn positions(store: &Store) -> Result<BTreeMap<String, String>> {
    store.fields(&format!("offset:{GROUP}:{TOPIC}")).await
}
