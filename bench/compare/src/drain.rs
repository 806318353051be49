//! Measures how fast a backlog in Kafka is counted in Valkey.

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

/// The topic with the backlog.
pub const TOPIC: &str = "bench-drain";

/// Interval at which the count is read.
const POLL: Duration = Duration::from_millis(5);

/// A contender that counts nothing for this time is considered failed.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// The result of one contender.
#[derive(Debug, Clone, Serialize)]
pub struct Drain {
    /// The measured contender.
    pub contender: Contender,
    /// Counted sales per second, from the first count that was seen in Valkey to the last.
    pub records_per_s: f64,
    /// CPU seconds per 100,000 counted sales, by process.
    pub cpu_s: DrainCpu,
}

/// CPU seconds per 100,000 counted sales.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DrainCpu {
    /// The contender.
    pub consumer: f64,
    /// Valkey.
    pub valkey: f64,
    /// The broker.
    pub kafka: f64,
}

/// A measurement during the drain.
struct Mark {
    at: Instant,
    counted: u64,
    cpu_s: [f64; 3],
}

/// One turn: the whole backlog, with a new group and an empty Valkey.
///
/// All contenders are measured from outside, by the count in Valkey. The start-up is not included:
/// the time starts when the first sales are counted, and these sales are not included either.
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

/// Waits until this number of sales is counted.
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
