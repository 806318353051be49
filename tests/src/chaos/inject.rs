//! The implementation of the faults.

use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use sale::Sale;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::fault::Fault;
use super::kafka::{BROKERS, Kafka};
use super::link::{Link, LinkState};
use super::store::StoreHost;
use super::world::{CHAINED, COUNTER, FUSED, World};

/// Time for which a member is paused: longer than the session timeout.
const ZOMBIE: Duration = Duration::from_secs(9);
/// Time for which other parts are unavailable.
pub(super) const SHORT: Duration = Duration::from_millis(1_500);
/// Number of connections that `IdleClients` opens to each process with the request path.
const IDLE_CLIENTS: usize = 300;
/// The first bytes of HTTP/2: the preface, and an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// Jump of the wall clock. A broker accepts timestamps up to an hour in the future.
const JUMP_S: i64 = 3_000;

impl Fault {
    /// Causes the fault and repairs it. Returns the sales that it wrote itself.
    pub async fn inject(self, world: &mut World, random: &mut Rng) -> Result<Vec<Sale>> {
        let injected = match self {
            Self::Transactions | Self::OddTimes => return self.write_records(world, random).await,
            Self::TopicAgain | Self::LogExpired | Self::LettersGone | Self::LettersTooSmall => {
                self.inject_topics(world, random).await
            }
            Self::FrontCrash
            | Self::FrontZombie
            | Self::FrontRestart
            | Self::CounterCrash
            | Self::CounterZombie
            | Self::Rebalance
            | Self::ClockJump
            | Self::Repeats => self.inject_members(world, random).await,
            Self::BrokerCrash
            | Self::BrokerPause
            | Self::BrokersCrash
            | Self::LeaderLost
            | Self::DiskFull
            | Self::OlderDisk => self.inject_kafka(&mut world.kafka, random.usize(..BROKERS)).await,
            Self::StoreCrash
            | Self::StorePause
            | Self::StoreWithoutFile
            | Self::StoreSnapshot
            | Self::StoreFlush
            | Self::StoreFailover
            | Self::StoreFull
            | Self::StoreForbids => self.inject_store(&mut world.store).await,
            Self::Cut(link) => disturb(world, link, LinkState::Cut).await,
            Self::Slow(link) => {
                let delay = Duration::from_millis(random.u64(20..200));
                disturb(world, link, LinkState::Slow(delay)).await
            }
            Self::Mute(link) => disturb(world, link, LinkState::Mute).await,
            Self::IdleClients => idle_clients(world).await,
        };
        injected.map(|()| Vec::new())
    }

    async fn inject_members(self, world: &mut World, random: &mut Rng) -> Result<()> {
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
            // This fault is caused by the clients.
            _ => {
                hold(SHORT).await;
                Ok(())
            }
        }
    }

    async fn inject_kafka(self, kafka: &mut Kafka, broker: usize) -> Result<()> {
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

    async fn inject_store(self, store: &mut StoreHost) -> Result<()> {
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
                store.connect().await?.configure("maxmemory", "1").await?;
                hold(SHORT).await;
                store.connect().await?.configure("maxmemory", "0").await
            }
            Self::StoreForbids => {
                store.connect().await?.command(&["ACL", "SETUSER", "default", "-zadd"]).await?;
                hold(SHORT).await;
                store.connect().await?.command(&["ACL", "SETUSER", "default", "+zadd"]).await
            }
            _ => store.crash().await,
        }
    }
}

/// Waits for the duration of a fault, for which there is no condition to wait for.
pub(super) async fn hold(time: Duration) {
    tokio::time::sleep(time).await;
}

async fn freeze(world: &World, member: usize) -> Result<()> {
    world.member(member).pause()?;
    hold(ZOMBIE).await;
    world.member(member).resume()
}

async fn disturb(world: &World, link: Link, state: LinkState) -> Result<()> {
    world.set(link, state);
    hold(SHORT).await;
    world.set(link, LinkState::Clear);
    Ok(())
}

/// Connections to each process with the request path. One third sends nothing, one third half of a
/// request's head, and one third only the first bytes of HTTP/2.
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

/// The records that this broker accepts while the others are paused exist only on this broker, and
/// are lost with it.
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
