//! A backlog on its way from Kafka into Valkey.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redis::aio::MultiplexedConnection;
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::args::Args;
use crate::contender::Contender;
use crate::cpu;
use crate::process::Process;
use crate::servers::Servers;

/// The topic that holds the backlog.
pub const TOPIC: &str = "bench-drain";

/// How often the count is read.
const POLL: Duration = Duration::from_millis(5);

/// A contender that counts nothing for so long is given up.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// One drain by one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Drain {
    /// Who.
    pub contender: Contender,
    /// Sales counted a second, from the first seen in Valkey to the last.
    pub records_per_s: f64,
    /// CPU seconds per 100,000 sales, by process.
    pub cpu_s: DrainCpu,
}

/// CPU seconds per 100,000 counted sales.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DrainCpu {
    /// The contender.
    pub consumer: f64,
    /// The store.
    pub valkey: f64,
    /// The broker.
    pub kafka: f64,
}

/// A moment of the drain.
struct Mark {
    at: Instant,
    counted: u64,
    cpu_s: [f64; 3],
}

/// One turn: the whole backlog, by a new group, into an empty store.
///
/// All contenders are watched from outside, by the count in Valkey. Starting up is not
/// measured: the clock starts at the first sales counted, which are then left out.
pub async fn measure(
    contender: Contender,
    round: u32,
    args: &Args,
    servers: &Servers,
) -> Result<Drain> {
    let client = redis::Client::open(servers.valkey.url())?;
    let mut valkey = client.get_multiplexed_async_connection().await?;
    let () = redis::cmd("FLUSHALL").query_async(&mut valkey).await?;
    let group = format!("bench-{contender}-{round}");
    let mut consumer = contender.start_drain(TOPIC, &group, servers)?;
    let place = || format!("{contender}, drain");
    let first = reach(1, &mut consumer, &mut valkey, servers).await.with_context(place)?;
    let last = reach(args.sales, &mut consumer, &mut valkey, servers).await.with_context(place)?;
    consumer.stop().await?;
    let counted = count(&mut valkey).await?;
    ensure!(counted == args.sales, "{contender} counted {counted} of {} sales", args.sales);

    let records = last.counted - first.counted;
    ensure!(records > 0, "{} sales are too few to measure: give more with --sales", args.sales);
    let [consumer, valkey, kafka] = cpu::per_100_000(first.cpu_s, last.cpu_s, records);
    Ok(Drain {
        contender,
        records_per_s: records as f64 / (last.at - first.at).as_secs_f64(),
        cpu_s: DrainCpu { consumer, valkey, kafka },
    })
}

/// Waits until so many sales are counted.
async fn reach(
    sales: u64,
    consumer: &mut Process,
    valkey: &mut MultiplexedConnection,
    servers: &Servers,
) -> Result<Mark> {
    let (mut counted, mut since) = (0, Instant::now());
    loop {
        let now = count(valkey).await?;
        if now >= sales {
            let cpu_s = [
                cpu::of_process(consumer.pid()?)?,
                cpu::of_process(servers.valkey.pid())?,
                cpu::of_process(servers.kafka.pid())?,
            ];
            return Ok(Mark { at: Instant::now(), counted: now, cpu_s });
        }
        if now > counted {
            (counted, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < IDLE_MAX, "stuck at {counted} of {sales} sales for {IDLE_MAX:?}");
        consumer.check()?;
        sleep(POLL).await;
    }
}

async fn count(valkey: &mut MultiplexedConnection) -> Result<u64> {
    let count: Option<u64> = redis::cmd("GET").arg("total_ventas").query_async(valkey).await?;
    Ok(count.unwrap_or(0))
}
