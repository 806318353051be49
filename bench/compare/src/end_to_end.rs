//! Measures the time from a request until its sale is visible in Valkey, while the pipeline has a
//! load of half of its capacity.
//!
//! Probes are sales of products of their own, so it is seen in Valkey when one is counted. Like the
//! load, they are due at fixed times, and their time counts from then.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::drain::reach;
use crate::http::Client;
use crate::load::{Load, Summary};
use crate::meter::Meter;
use crate::results::{Case, Column, Design, Figures, Sample};
use crate::statistics::percentile;
use crate::store::have_sales;

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "end-to-end",
    title: "from the request until the sale is visible in Valkey, at half of the capacity of fused",
    base: "native",
    x_axis: None,
    columns: &[
        Column::with_ratio("visible_p50_ms", "p50, ms"),
        Column::with_ratio("visible_p99_ms", "p99, ms"),
        Column::new("visible_max_ms", "max, ms"),
        Column::new("p99_ms", "p99 of the answer, ms"),
        Column::new("accepted_per_s", "sales/s"),
        Column::with_ratio("contender_cpu_s", "CPU s of the contender"),
        Column::new("valkey_cpu_s", "CPU s of Valkey"),
        Column::new("memory_mib", "memory, MiB"),
    ],
};

/// Requests in progress at most during the measurement.
const CONNECTIONS: u32 = 512;

/// The interval of the probes.
const INTERVAL: Duration = Duration::from_millis(10);

/// Interval at which it is read whether a probe is counted: the resolution of the result.
const POLL: Duration = Duration::from_millis(1);

/// Maximum time until a probe is counted.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let rate = (capacity(bench).await? / 2.0).max(1.0) as u64;
    let contenders = bench.requested(&Contender::WHOLE)?;
    bench
        .rounds("end-to-end", &contenders, async |contender, round| {
            let figures = turn(bench, contender, rate).await?;
            let case = Case::named(format!("{rate} requests/s"));
            Ok(vec![Sample { round, contender: contender.to_string(), case, figures }])
        })
        .await
}

/// The sales per second that the fused pipeline accepts while it also counts them, with the largest
/// number of connections.
async fn capacity(bench: &Bench) -> Result<f64> {
    let mut valkey = bench.empty_valkey().await?;
    let topic = bench.topic(PARTITIONS).await?;
    let names = Names { topic: &topic, group: &topic };
    let mut fused = Contender::Fused.start(Part::Whole, names, &bench.servers).await?;
    let connections = bench.args.connections.iter().copied().max().unwrap_or(1);
    let load = Load::closed(fused.address()?, connections, bench.args.seconds);
    let warm = load.run().await?;
    let measured = load.run().await?;
    reach(warm.accepted + measured.accepted, &mut fused, &mut valkey).await?;
    fused.stop().await?;
    Ok(measured.accepted_per_s)
}

async fn turn(bench: &Bench, contender: Contender, rate: u64) -> Result<Figures> {
    let mut valkey = bench.empty_valkey().await?;
    let topic = bench.topic(PARTITIONS).await?;
    let names = Names { topic: &topic, group: &topic };
    let mut deployment = contender.start(Part::Whole, names, &bench.servers).await?;
    let seconds = bench.args.seconds;
    let load = Load::closed(deployment.address()?, CONNECTIONS, seconds);
    let load = Load { rate: Some(rate), ..load };
    let warm = load.run().await?;
    reach(warm.accepted, &mut deployment, &mut valkey).await?;

    let meter = Meter::start(&deployment, &bench.servers)?;
    let probes = probe(deployment.address()?, Duration::from_secs(seconds), valkey.clone());
    let (summary, visible) = tokio::try_join!(load.run(), probes)?;
    let sales = summary.accepted + visible.len() as u64;
    reach(warm.accepted + sales, &mut deployment, &mut valkey).await?;
    let mut figures = figures(&summary, visible);
    figures.extend(meter.per_100_000(sales)?);
    figures.insert("memory_mib".into(), deployment.memory_mib()?);
    deployment.stop().await?;
    Ok(figures)
}

fn figures(summary: &Summary, mut visible_ms: Vec<f64>) -> Figures {
    let mut figures = summary.figures();
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let value = percentile(&mut visible_ms, share);
        figures.extend(value.map(|ms| (format!("visible_{name}_ms"), ms)));
    }
    figures
}

/// A probe that was accepted.
struct Probe {
    product: String,
    due: Instant,
}

/// Sends the probes. Returns the times in milliseconds after which they were visible.
async fn probe(
    address: SocketAddr,
    duration: Duration,
    valkey: MultiplexedConnection,
) -> Result<Vec<f64>> {
    let (begun, client) = (Instant::now(), Client::new(address));
    let number = (duration.as_millis() / INTERVAL.as_millis()) as u32;
    ensure!(number > 0, "there is no probe");
    let (accepted, outstanding) = mpsc::channel(number as usize);
    let mut probes = JoinSet::new();
    for number in 0..number {
        let probe = Probe { product: format!("probe-{number}"), due: begun + INTERVAL * number };
        let (client, accepted) = (client.clone(), accepted.clone());
        probes.spawn(async move {
            sleep_until(probe.due).await;
            client.sell(&probe.product).await?;
            // If this fails, `watch` has failed.
            let _ = accepted.send(probe).await;
            anyhow::Ok(())
        });
    }
    drop(accepted);
    let sent = async { probes.join_all().await.into_iter().collect::<Result<()>>() };
    let ((), visible) = tokio::try_join!(sent, watch(outstanding, valkey))?;
    Ok(visible)
}

/// Waits until the probes are counted. All of them are read with one command, so that many do not
/// load Valkey more than few.
async fn watch(
    mut accepted: mpsc::Receiver<Probe>,
    mut valkey: MultiplexedConnection,
) -> Result<Vec<f64>> {
    let (mut visible_ms, mut outstanding) = (Vec::new(), Vec::<Probe>::new());
    loop {
        if outstanding.is_empty() {
            match accepted.recv().await {
                Some(probe) => outstanding.push(probe),
                None => return Ok(visible_ms),
            }
        }
        while let Ok(probe) = accepted.try_recv() {
            outstanding.push(probe);
        }
        let products: Vec<&str> = outstanding.iter().map(|probe| &*probe.product).collect();
        let mut counted = have_sales(&mut valkey, &products).await?.into_iter();
        outstanding.retain(|probe| {
            let is_visible = counted.next() == Some(true);
            if is_visible {
                visible_ms.push(probe.due.elapsed().as_secs_f64() * 1_000.0);
            }
            !is_visible
        });
        if let Some(late) = outstanding.iter().find(|probe| probe.due.elapsed() > PROBE_LIMIT) {
            bail!("{} was not counted within {PROBE_LIMIT:?}", late.product);
        }
        sleep(POLL).await;
    }
}
