//! What can happen.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;

use super::kafka::BROKERS;
use super::link::{Link, Weather};
use super::world::{CHAINED, COUNTER, FUSED, World};

/// How long a member is frozen: longer than the group waits for it.
const ZOMBIE: Duration = Duration::from_secs(9);
/// How long other things are away.
const SHORT: Duration = Duration::from_millis(1_500);
/// How far a wall clock jumps: a broker takes records from up to an hour ahead.
const JUMP_S: i64 = 3_000;

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Fault {
    /// A front door is killed and started again.
    FrontCrash,
    /// A front door is frozen for longer than the group waits, and wakes up.
    FrontZombie,
    /// A front door is ended with SIGTERM and started again.
    FrontRestart,
    /// The process that only counts is killed and started again.
    CounterCrash,
    /// The process that only counts is frozen for longer than the group waits, and wakes up.
    CounterZombie,
    /// A member joins the group and leaves it.
    Rebalance,
    /// The wall clock of a front door jumps, ahead or back, and is put right again.
    ClockJump,
    /// Clients send every accepted sale once more, late and out of order.
    Repeats,
    /// A broker is killed and started again.
    BrokerCrash,
    /// A broker is frozen.
    BrokerPause,
    /// All brokers are killed at once and started again.
    BrokersCrash,
    /// Two brokers freeze, the third crashes, and the two wake up without it.
    LeaderLost,
    /// A broker's disk is full: it ends, and is started again with room.
    DiskFull,
    /// The store is killed and comes back with its append-only file.
    StoreCrash,
    /// The store is frozen.
    StorePause,
    /// The store is killed and comes back empty: it had no append-only file.
    StoreWithoutFile,
    /// The store is killed and comes back with an older snapshot.
    StoreSnapshot,
    /// Everything in the store is deleted.
    StoreFlush,
    /// A replica that lags takes the store's place.
    StoreFailover,
    /// The network is cut between two parts.
    Cut(Link),
    /// The network between two parts is slow.
    Slow(Link),
    /// Requests pass between two parts and answers do not.
    Mute(Link),
}

impl Fault {
    /// All of them.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::FrontCrash,
            Self::FrontZombie,
            Self::FrontRestart,
            Self::CounterCrash,
            Self::CounterZombie,
            Self::Rebalance,
            Self::ClockJump,
            Self::Repeats,
            Self::BrokerCrash,
            Self::BrokerPause,
            Self::BrokersCrash,
            Self::LeaderLost,
            Self::DiskFull,
            Self::StoreCrash,
            Self::StorePause,
            Self::StoreWithoutFile,
            Self::StoreSnapshot,
            Self::StoreFlush,
            Self::StoreFailover,
        ];
        for link in Link::ALL {
            all.extend([Self::Cut(link), Self::Slow(link), Self::Mute(link)]);
        }
        all
    }

    /// Whether every request is answered all the same.
    pub fn spares_intake(self) -> bool {
        match self {
            Self::CounterCrash
            | Self::CounterZombie
            | Self::Rebalance
            | Self::Repeats
            | Self::StoreCrash
            | Self::StorePause
            | Self::StoreWithoutFile
            | Self::StoreSnapshot
            | Self::StoreFlush
            | Self::StoreFailover => true,
            Self::Cut(link) | Self::Slow(link) | Self::Mute(link) => link == Link::Store,
            _ => false,
        }
    }

    /// Lets it happen, and puts right what it broke.
    pub async fn strike(self, world: &mut World, random: &mut Rng) -> Result<()> {
        let front = *random.choice([CHAINED, FUSED].iter()).unwrap_or(&FUSED);
        let broker = random.usize(..BROKERS);
        match self {
            Self::FrontCrash => world.crash(front).await?,
            Self::FrontZombie => freeze(world, front).await?,
            Self::FrontRestart => world.restart(front).await?,
            Self::CounterCrash => world.crash(COUNTER).await?,
            Self::CounterZombie => freeze(world, COUNTER).await?,
            Self::Rebalance => {
                let member = world.one_more().await?;
                hold(SHORT).await;
                member.stop().await?;
            }
            Self::ClockJump => {
                world.clock.jump(if random.bool() { JUMP_S } else { -JUMP_S })?;
                hold(SHORT).await;
                world.clock.jump(0)?;
            }
            Self::Repeats => hold(SHORT).await,
            Self::BrokerCrash => {
                world.kafka.cluster.kill(broker).await?;
                hold(SHORT).await;
                world.kafka.cluster.restart(broker).await?;
            }
            Self::BrokerPause => {
                world.kafka.cluster.pause(broker)?;
                hold(2 * SHORT).await;
                world.kafka.cluster.resume(broker)?;
            }
            Self::BrokersCrash => world.kafka.cluster.restart_all().await?,
            Self::LeaderLost => lose_leader(world, broker).await?,
            Self::DiskFull => {
                world.kafka.cluster.broker(broker)?.fill_disk()?;
                hold(SHORT).await;
                world.kafka.cluster.restart(broker).await?;
            }
            Self::StoreCrash => world.store.crash().await?,
            Self::StorePause => {
                world.store.pause()?;
                hold(SHORT).await;
                world.store.resume()?;
            }
            Self::StoreWithoutFile => world.store.crash_without_file().await?,
            Self::StoreSnapshot => {
                world.store.save().await?;
                hold(SHORT).await;
                world.store.restore().await?;
            }
            Self::StoreFlush => world.store.flush().await?,
            Self::StoreFailover => {
                let replica = world.store.late_replica().await?;
                hold(SHORT).await;
                world.store.fail_over(replica).await?;
            }
            Self::Cut(link) => blow(world, link, Weather::Cut).await,
            Self::Slow(link) => {
                let delay = Duration::from_millis(random.u64(20..200));
                blow(world, link, Weather::Slow(delay)).await;
            }
            Self::Mute(link) => blow(world, link, Weather::Mute).await,
        }
        Ok(())
    }

    /// What it is, for the table.
    pub fn describe(self) -> String {
        match self {
            Self::FrontCrash => "a process that takes and counts sales: `kill -9`".into(),
            Self::FrontZombie => "such a process: frozen for 9 s, its partitions move".into(),
            Self::FrontRestart => "such a process: SIGTERM and a new start".into(),
            Self::CounterCrash => "a process that only counts: `kill -9`".into(),
            Self::CounterZombie => "such a process: frozen for 9 s, its partitions move".into(),
            Self::Rebalance => "a member joins the group and leaves it".into(),
            Self::ClockJump => {
                "a process's wall clock: 50 min ahead or back, and right again".into()
            }
            Self::Repeats => "clients send every accepted sale once more, late".into(),
            Self::BrokerCrash => "a broker: `kill -9`".into(),
            Self::BrokerPause => "a broker: frozen for 3 s".into(),
            Self::BrokersCrash => "all brokers: `kill -9`".into(),
            Self::LeaderLost => "two brokers frozen, the third `kill -9`, the two go on".into(),
            Self::DiskFull => "a broker: its disk is full".into(),
            Self::StoreCrash => "Valkey: `kill -9`, with an append-only file".into(),
            Self::StorePause => "Valkey: frozen for 1.5 s".into(),
            Self::StoreWithoutFile => "Valkey: `kill -9`, without a file: comes back empty".into(),
            Self::StoreSnapshot => "Valkey: back with a snapshot 1.5 s old".into(),
            Self::StoreFlush => "Valkey: FLUSHALL".into(),
            Self::StoreFailover => "Valkey: a replica that lags 1.5 s takes over".into(),
            Self::Cut(link) => format!("network cut for 1.5 s: {link}"),
            Self::Slow(link) => format!("network slow, 20 to 200 ms: {link}"),
            Self::Mute(link) => format!("answers lost for 1.5 s: {link}"),
        }
    }
}

impl Fault {
    /// What is known of the same fault in the design that this one descends from.
    pub fn before(self) -> &'static str {
        match self {
            Self::FrontCrash | Self::CounterCrash => "up to 1,568 doubled",
            Self::FrontZombie | Self::CounterZombie | Self::Rebalance => {
                "doubled: what was counted since the last mark"
            }
            Self::Repeats => "all doubled",
            Self::BrokersCrash | Self::Cut(Link::Kafka) | Self::Mute(Link::Kafka) => {
                "10 s: up to 2,021 doubled, 845 counted though refused"
            }
            Self::StoreCrash | Self::StorePause | Self::Cut(Link::Store) => "10 s: 41 lost",
            Self::StoreSnapshot | Self::StoreFailover => "4,230 lost",
            Self::StoreWithoutFile | Self::StoreFlush => "everything lost",
            Self::Mute(Link::Clients) => "doubled by the clients' retries",
            _ => "not known",
        }
    }
}

/// The length of a fault: nothing can be awaited here, it lasts as long as it lasts.
async fn hold(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn freeze(world: &World, member: usize) -> Result<()> {
    world.member(member).pause()?;
    hold(ZOMBIE).await;
    world.member(member).resume()
}

async fn blow(world: &World, link: Link, weather: Weather) {
    world.set(link, weather);
    hold(SHORT).await;
    world.set(link, Weather::Clear);
}

/// What this broker takes while the others are frozen is on this broker only, and lost with it.
async fn lose_leader(world: &mut World, leader: usize) -> Result<()> {
    let cluster = &mut world.kafka.cluster;
    let others = (0..BROKERS).filter(|broker| *broker != leader);
    for broker in others.clone() {
        cluster.pause(broker)?;
    }
    hold(SHORT).await;
    cluster.kill(leader).await?;
    for broker in others {
        cluster.resume(broker)?;
    }
    cluster.restart(leader).await
}
