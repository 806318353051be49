//! Measures how fast a backlog in Kafka is counted in Valkey.

use std::time::Duration;

use anyhow::{Result, ensure};
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::deployment::Deployment;
use crate::fill::{Backlog, fill};
use crate::manifest::with_aggregator;
use crate::meter::Meter;
use crate::results::{Case, Column, Design, Figures, Sample};
use crate::store::counted;

/// The figures of a drain.
pub const COLUMNS: &[Column] = &[
    Column::with_ratio("records_per_s", "sales/s"),
    Column::with_ratio("records_per_cpu_s", "sales per CPU s of consumer and Valkey"),
    Column::new("contender_cpu_s", "CPU s of the consumer"),
    Column::new("valkey_cpu_s", "CPU s of Valkey"),
    Column::new("kafka_cpu_s", "CPU s of Kafka"),
    Column::with_ratio("all_counted_s", "from the start to the last, s"),
    Column::new("memory_mib", "memory, MiB"),
];

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "drain",
    title: "from Kafka to Valkey",
    base: "native",
    x_axis: None,
    columns: COLUMNS,
};

/// How two builds of the aggregator are compared.
const AGGREGATORS: Design = Design {
    name: "drain-aggregators",
    title: "from Kafka to Valkey, with another build of the aggregator",
    base: "other-aggregator",
    ..DESIGN
};

/// Interval at which the count is read.
const POLL: Duration = Duration::from_millis(5);

/// A contender that counts nothing for this time is considered failed.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// A smaller drain says nothing about throughput: the partitions begin at different times, and CPU
/// time has a resolution of 10 ms.
const RECORDS_MIN: u64 = 50_000;

/// All turns. With another build of the aggregator, only it and the present one have turns.
pub async fn measure(bench: &Bench) -> Result<(Design, Vec<Sample>)> {
    match &bench.args.aggregator {
        None => Ok((DESIGN, drains(bench, &bench.requested(&Contender::WHOLE)?).await?)),
        Some(wasm) => {
            with_aggregator(wasm)?;
            let contenders = [Contender::Fused, Contender::OtherAggregator];
            Ok((AGGREGATORS, drains(bench, &contenders).await?))
        }
    }
}

async fn drains(bench: &Bench, contenders: &[Contender]) -> Result<Vec<Sample>> {
    let sales = bench.args.sales;
    let topic = bench.topic(PARTITIONS).await?;
    let backlog = Backlog { sales, ..Backlog::default() };
    fill(&bench.servers.brokers(), &topic, backlog, |_| {}).await?;
    bench
        .rounds("drain", contenders, async |contender, round| {
            let figures = drain(bench, contender, round, &topic, sales).await?;
            let case = Case::named(format!("{sales} sales"));
            Ok(vec![Sample { round, contender: contender.to_string(), case, figures }])
        })
        .await
}

/// Counts a backlog with a new group and an empty Valkey.
///
/// All contenders are measured from outside, by the count in Valkey. Throughput and CPU time do not
/// include the start: they begin with the first sales that are seen in Valkey, without these. They
/// are missing if the drain was too small for that.
pub async fn drain(
    bench: &Bench,
    contender: Contender,
    round: u32,
    topic: &str,
    sales: u64,
) -> Result<Figures> {
    let mut valkey = bench.empty_valkey().await?;
    let names = Names { topic, group: &format!("{topic}-{contender}-{round}") };
    let begun = Instant::now();
    let mut consumer = contender.spawn(Part::Drain, names, &bench.servers)?;
    let first = reach(1, &mut consumer, &mut valkey).await?;
    let (meter, since) = (Meter::start(&consumer, &bench.servers)?, Instant::now());
    let last = reach(sales, &mut consumer, &mut valkey).await?;
    let (took, all) = (since.elapsed(), begun.elapsed());
    let mut figures = Figures::from([
        ("all_counted_s".into(), all.as_secs_f64()),
        ("memory_mib".into(), consumer.memory_mib()?),
    ]);
    let records = last - first;
    if records >= RECORDS_MIN {
        let cpu_s = meter.per_100_000(records)?;
        let used: f64 =
            ["contender_cpu_s", "valkey_cpu_s"].iter().filter_map(|n| cpu_s.get(*n)).sum();
        figures.extend(cpu_s);
        figures.insert("records_per_s".into(), records as f64 / took.as_secs_f64());
        figures.insert("records_per_cpu_s".into(), 100_000.0 / used);
    }
    consumer.stop().await?;
    let counted = counted(&mut valkey).await?;
    ensure!(counted == sales, "{contender} counted {counted} of {sales} sales");
    Ok(figures)
}

/// Waits until this number of sales is counted, and returns the number that is.
pub async fn reach(
    sales: u64,
    consumer: &mut Deployment,
    valkey: &mut MultiplexedConnection,
) -> Result<u64> {
    let (mut highest, mut since) = (0, Instant::now());
    loop {
        let now = counted(valkey).await?;
        if now >= sales {
            return Ok(now);
        }
        if now > highest {
            (highest, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < IDLE_MAX, "stuck at {highest} of {sales} sales for {IDLE_MAX:?}");
        consumer.check()?;
        sleep(POLL).await;
    }
}
