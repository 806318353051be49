//! Faults, as they are done.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use sale::Sale;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::fault::Fault;
use super::kafka::{BROKERS, Kafka};
use super::link::{Link, Weather};
use super::store::StoreHost;
use super::world::{CHAINED, COUNTER, FUSED, World};

/// How long a member is frozen: longer than the group waits for it.
const ZOMBIE: Duration = Duration::from_secs(9);
/// How long other things are away.
pub(super) const SHORT: Duration = Duration::from_millis(1_500);
/// Connections that `IdleClients` opens to each front door.
const IDLE_CLIENTS: usize = 300;
/// How a client opens HTTP/2: the preface, and settings without a value.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// How far a wall clock jumps: a broker takes records from up to an hour ahead.
const JUMP_S: i64 = 3_000;

impl Fault {
    /// Lets it happen, and puts right what it broke. Answers the sales that it made itself.
    pub async fn strike(self, world: &mut World, random: &mut Rng) -> Result<Vec<Sale>> {
        let struck = match self {
            Self::Transactions | Self::OddTimes => return self.write_sales(world, random).await,
            Self::TopicAgain | Self::LogExpired | Self::LettersGone | Self::LettersTooSmall => {
                self.strike_topics(world, random).await
            }
            Self::FrontCrash
            | Self::FrontZombie
            | Self::FrontRestart
            | Self::CounterCrash
            | Self::CounterZombie
            | Self::Rebalance
            | Self::ClockJump
            | Self::Repeats => self.strike_members(world, random).await,
            Self::BrokerCrash
            | Self::BrokerPause
            | Self::BrokersCrash
            | Self::LeaderLost
            | Self::DiskFull
            | Self::OlderDisk => self.strike_kafka(&mut world.kafka, random.usize(..BROKERS)).await,
            Self::StoreCrash
            | Self::StorePause
            | Self::StoreWithoutFile
            | Self::StoreSnapshot
            | Self::StoreFlush
            | Self::StoreFailover
            | Self::StoreFull
            | Self::StoreForbids => self.strike_store(&mut world.store).await,
            Self::Cut(link) => blow(world, link, Weather::Cut).await,
            Self::Slow(link) => {
                let delay = Duration::from_millis(random.u64(20..200));
                blow(world, link, Weather::Slow(delay)).await
            }
            Self::Mute(link) => blow(world, link, Weather::Mute).await,
            Self::IdleClients => idle_clients(world).await,
        };
        struck.map(|()| Vec::new())
    }

    async fn strike_members(self, world: &mut World, random: &mut Rng) -> Result<()> {
        let front = if random.bool() { CHAINED } else { FUSED };
        match self {
            Self::FrontCrash => world.crash(front).await,
            Self::FrontZombie => freeze(world, front).await,
            Self::FrontRestart => world.restart(front).await,
            Self::CounterCrash => world.crash(COUNTER).await,
            Self::CounterZombie => freeze(world, COUNTER).await,
            Self::Rebalance => {
                let member = world.one_more().await?;
                hold(SHORT).await;
                member.stop().await
            }
            Self::ClockJump => {
                world.clock.jump(if random.bool() { JUMP_S } else { -JUMP_S })?;
                hold(SHORT).await;
                world.clock.jump(0)
            }
            // The clients do it.
            _ => {
                hold(SHORT).await;
                Ok(())
            }
        }
    }

    async fn strike_kafka(self, kafka: &mut Kafka, broker: usize) -> Result<()> {
        let cluster = &mut kafka.cluster;
        match self {
            Self::BrokerPause => {
                cluster.pause(broker)?;
                hold(2 * SHORT).await;
                cluster.resume(broker)
            }
            Self::BrokersCrash => cluster.restart_all().await,
            Self::LeaderLost => lose_leader(kafka, broker).await,
            Self::DiskFull => {
                cluster.broker(broker)?.fill_disk()?;
                hold(SHORT).await;
                cluster.restart(broker).await
            }
            Self::OlderDisk => {
                let older = TempDir::with_prefix("older-disk-")?;
                cluster.kill(broker).await?;
                cluster.broker(broker)?.copy_data_to(older.path())?;
                cluster.restart(broker).await?;
                hold(2 * SHORT).await;
                cluster.kill(broker).await?;
                cluster.broker(broker)?.take_data_from(older.path())?;
                cluster.restart(broker).await
            }
            _ => {
                cluster.kill(broker).await?;
                hold(SHORT).await;
                cluster.restart(broker).await
            }
        }
    }

    async fn strike_store(self, store: &mut StoreHost) -> Result<()> {
        match self {
            Self::StorePause => {
                store.pause()?;
                hold(SHORT).await;
                store.resume()
            }
            Self::StoreWithoutFile => store.crash_without_file().await,
            Self::StoreSnapshot => {
                store.save().await?;
                hold(SHORT).await;
                store.restore().await
            }
            Self::StoreFlush => store.flush().await,
            Self::StoreFailover => {
                let replica = store.late_replica().await?;
                hold(SHORT).await;
                store.fail_over(replica).await
            }
            Self::StoreFull => {
                store.look().await?.configure("maxmemory", "1").await?;
                hold(SHORT).await;
                store.look().await?.configure("maxmemory", "0").await
            }
            Self::StoreForbids => {
                store.look().await?.say(&["ACL", "SETUSER", "default", "-zadd"]).await?;
                hold(SHORT).await;
                store.look().await?.say(&["ACL", "SETUSER", "default", "+zadd"]).await
            }
            _ => store.crash().await,
        }
    }
}

/// The length of a fault: nothing can be awaited here, it lasts as long as it lasts.
pub(super) async fn hold(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn freeze(world: &World, member: usize) -> Result<()> {
    world.member(member).pause()?;
    hold(ZOMBIE).await;
    world.member(member).resume()
}

async fn blow(world: &World, link: Link, weather: Weather) -> Result<()> {
    world.set(link, weather);
    hold(SHORT).await;
    world.set(link, Weather::Clear);
    Ok(())
}

/// Connections to each front door: a third says nothing, a third sends half a request's head, and
/// a third opens HTTP/2 and says nothing more.
async fn idle_clients(world: &World) -> Result<()> {
    let beginnings = [&b""[..], b"POST /purchase HTTP/1.1\r\nHost: a\r\nConte", HTTP2];
    let mut connections = Vec::new();
    for front in [CHAINED, FUSED] {
        let port = world.member(front).port()?;
        for beginning in beginnings.iter().cycle().take(IDLE_CLIENTS) {
            let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
            connection.write_all(beginning).await?;
            connections.push(connection);
        }
    }
    hold(2 * SHORT).await;
    Ok(())
}

/// What this broker takes while the others are frozen is on this broker only, and lost with it.
async fn lose_leader(kafka: &mut Kafka, leader: usize) -> Result<()> {
    let cluster = &mut kafka.cluster;
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
