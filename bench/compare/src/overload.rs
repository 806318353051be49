//! Measures what happens with twice as many requests as a contender can accept.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::deployment::Deployment;
use crate::load::{Load, Summary};
use crate::processors::Processors;
use crate::results::{Case, Column, Design, Figures, Sample};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "overload",
    title: "twice as many requests as the contender accepts at the best number of connections",
    base: "native",
    x_axis: None,
    columns: &[
        Column::new("peak_per_s", "peak, sales/s"),
        Column::new("offered_per_s", "requests/s"),
        Column::new("accepted_per_s", "accepted, sales/s"),
        Column::new("accepted_share_of_peak", "accepted / peak"),
        Column::new("refused_share", "share answered with 429 or 503"),
        Column::new("error_share", "share of other errors"),
        Column::new("refusal_p50_ms", "p50 of the refusals, ms"),
        Column::new("refusal_p99_ms", "p99 of the refusals, ms"),
        Column::new("memory_first_half_mib", "highest memory, first half, MiB"),
        Column::new("memory_second_half_mib", "second half, MiB"),
    ],
};

/// Requests in progress at most. More than the contenders accept at once (4,096), less than the
/// connections that Doorbuster accepts (8,192).
const CONNECTIONS: u32 = 8_000;

/// How much the load exceeds the peak.
const FACTOR: f64 = 2.0;

/// Interval at which the memory is read.
const POLL: Duration = Duration::from_millis(250);

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    let names = Names { topic: &topic, group: &topic };
    let processors = Processors::divide()?;
    let samples = bench
        .rounds("overload", &Contender::SINGLE, async |contender, round| {
            bench.empty_valkey().await?;
            processors.start_contender(&bench.servers)?;
            let deployment = contender.start(Part::Accept, names, &bench.servers).await?;
            processors.start_load()?;
            let figures = overload(bench, &deployment).await?;
            deployment.stop().await?;
            let case = Case::named("2 × peak");
            Ok(vec![Sample { round, contender: contender.to_string(), case, figures }])
        })
        .await?;
    processors.unite(&bench.servers)?;
    Ok(samples)
}

/// The highest throughput of the closed loads, and then twice as much.
async fn overload(bench: &Bench, deployment: &Deployment) -> Result<Figures> {
    let (address, seconds) = (deployment.address()?, bench.args.seconds);
    let mut peak: f64 = 0.0;
    for &connections in &bench.args.connections {
        let figures = bench.load(deployment, Load::closed(address, connections, seconds)).await?;
        peak = peak.max(figures.get("accepted_per_s").copied().unwrap_or_default());
    }
    let rate = Some((peak * FACTOR) as u64);
    let load = Load { rate, ..Load::closed(address, CONNECTIONS, seconds) };
    // The memory of a contender grows with its connections. After this load it has that memory, so
    // what grows during the next one grows without end.
    load.run_with_failures().await?;
    let mut memory = Vec::new();
    let summary = tokio::select! {
        summary = load.run_with_failures() => summary?,
        error = watch(deployment, &mut memory) => return Err(error),
    };
    let mut figures = summary.figures();
    figures.extend(shares(&summary, peak));
    let half = Duration::from_secs_f64(summary.elapsed_s / 2.0);
    let highest = |in_half: fn(&Duration, &Duration) -> bool| {
        memory.iter().filter(|(at, _)| in_half(at, &half)).map(|(_, mib)| *mib).reduce(f64::max)
    };
    figures.extend(highest(Duration::le).map(|mib| ("memory_first_half_mib".into(), mib)));
    figures.extend(highest(Duration::gt).map(|mib| ("memory_second_half_mib".into(), mib)));
    let after = Load::closed(address, 1, 1).run().await;
    after.context("sales are not accepted after the overload")?;
    Ok(figures)
}

fn shares(summary: &Summary, peak: f64) -> [(String, f64); 5] {
    let count = |is_refusal: bool| -> u64 {
        let refused = |status: &str| matches!(status, "429" | "503");
        summary.failed.iter().filter(|(s, _)| refused(s) == is_refusal).map(|(_, n)| n).sum()
    };
    let share = |number: u64| number as f64 / summary.requests as f64;
    [
        ("peak_per_s".into(), peak),
        ("offered_per_s".into(), summary.requests as f64 / summary.elapsed_s),
        ("accepted_share_of_peak".into(), summary.accepted_per_s / peak),
        ("refused_share".into(), share(count(true))),
        ("error_share".into(), share(count(false))),
    ]
}

/// Reads the memory until it is dropped. Returns only an error.
async fn watch(deployment: &Deployment, memory: &mut Vec<(Duration, f64)>) -> anyhow::Error {
    let begun = Instant::now();
    loop {
        match deployment.memory_mib() {
            Ok(mib) => memory.push((begun.elapsed(), mib)),
            Err(error) => return error,
        }
        sleep(POLL).await;
    }
}
