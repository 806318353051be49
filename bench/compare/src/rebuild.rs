//! Measures how a topic is counted again after Valkey was emptied, and compares every key with a
//! recount.

use std::time::Duration;

use anyhow::{Result, ensure};
use ledger::{Actual, Expected, diff};
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::deployment::Deployment;
use crate::fill::{Backlog, fill};
use crate::memory;
use crate::meter::Meter;
use crate::results::{Case, Column, Design, Figures, Sample};
use crate::store::applied;

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "rebuild",
    title: "a topic is counted, and counted again after Valkey was emptied",
    base: "fused",
    x_axis: None,
    columns: &[
        Column::new("all_counted_s", "from the start to the last, s"),
        Column::new("records_per_s", "records/s"),
        Column::new("contender_cpu_s", "CPU s of the consumer"),
        Column::new("valkey_cpu_s", "CPU s of Valkey"),
        Column::new("memory_first_half_mib", "highest memory, first half, MiB"),
        Column::new("memory_second_half_mib", "second half, MiB"),
        Column::new("valkey_first_half_mib", "of Valkey, first half, MiB"),
        Column::new("valkey_second_half_mib", "second half, MiB"),
    ],
};

/// Interval at which the progress and the memory are read.
const POLL: Duration = Duration::from_millis(500);

/// A consumer that applies nothing for this time is considered failed.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// Number of differences that an error contains.
const SHOWN_MAX: usize = 10;

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    let backlog = Backlog { sales: bench.args.sales, has_repetitions: true, ..Backlog::default() };
    let mut expected = Expected::default();
    fill(&bench.servers.brokers(), &topic, backlog, |sale| expected.add(sale)).await?;
    bench
        .rounds("rebuild", &[Contender::Fused], async |contender, round| {
            let group = format!("{topic}-{round}");
            let names = Names { topic: &topic, group: &group };
            let mut samples = Vec::new();
            for case in ["first count", "after FLUSHALL"] {
                let figures = count(bench, contender, names, &expected).await?;
                let case = Case::named(format!("{} records, {case}", backlog.sales));
                samples.push(Sample { round, contender: contender.to_string(), case, figures });
            }
            Ok(samples)
        })
        .await
}

/// Counts the topic with an empty Valkey. The same group has counted it before in the second case.
async fn count(
    bench: &Bench,
    contender: Contender,
    names: Names<'_>,
    expected: &Expected,
) -> Result<Figures> {
    let mut valkey = bench.empty_valkey().await?;
    let begun = Instant::now();
    let mut consumer = contender.spawn(Part::Drain, names, &bench.servers)?;
    let meter = Meter::start(&consumer, &bench.servers)?;
    let mut figures = watch(bench, &mut consumer, &mut valkey, names).await?;
    let took = begun.elapsed().as_secs_f64();
    figures.extend(meter.per_100_000(bench.args.sales)?);
    figures.insert("all_counted_s".into(), took);
    figures.insert("records_per_s".into(), bench.args.sales as f64 / took);
    consumer.stop().await?;
    let differences = diff(expected, &Actual::read(&mut valkey).await?);
    let shown = differences.iter().take(SHOWN_MAX).collect::<Vec<_>>();
    ensure!(differences.is_empty(), "{} keys are wrong: {shown:#?}", differences.len());
    tracing::info!(sales = expected.total, "every key equals the recount");
    Ok(figures)
}

/// Waits until every record is applied. Returns the highest memory of the consumer and of Valkey while
/// the first half was applied, and while the second one was.
async fn watch(
    bench: &Bench,
    consumer: &mut Deployment,
    valkey: &mut MultiplexedConnection,
    names: Names<'_>,
) -> Result<Figures> {
    let records = bench.args.sales;
    let (mut figures, mut highest, mut since) = (Figures::new(), 0, Instant::now());
    while highest < records {
        sleep(POLL).await;
        let now = applied(valkey, names).await?;
        let half = if now < records / 2 { "first" } else { "second" };
        let of_valkey = memory::of_process_mib(bench.servers.valkey.pid())?;
        for (what, mib) in [("memory", consumer.memory_mib()?), ("valkey", of_valkey)] {
            let peak = figures.entry(format!("{what}_{half}_half_mib")).or_default();
            *peak = peak.max(mib);
        }
        if now > highest {
            (highest, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < IDLE_MAX, "stuck at record {highest} for {IDLE_MAX:?}");
        consumer.check()?;
    }
    ensure!(highest == records, "{highest} of {records} records were applied");
    Ok(figures)
}
