//! Measures the time to the answer at fixed rates. Requests are due at fixed times, whether or not
//! earlier ones are answered, and latency counts from then.

use anyhow::Result;

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::load::Load;
use crate::results::{Case, Column, Design, Sample};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "latency",
    title: "time to the answer at fixed rates",
    base: "native",
    x_axis: Some("requests per second"),
    columns: &[
        Column::with_ratio("p50_ms", "p50, ms"),
        Column::with_ratio("p99_ms", "p99, ms"),
        Column::new("p99.9_ms", "p99.9, ms"),
        Column::new("failed_share", "share of failures"),
        Column::new("accepted_per_s", "sales/s"),
        Column::with_ratio("contender_cpu_s", "CPU s of the contender"),
        Column::new("memory_mib", "memory, MiB"),
    ],
};

/// Requests in progress at most. If that many wait, requests that are due wait for one of them,
/// which counts as their latency.
const CONNECTIONS: u32 = 512;

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    let names = Names { topic: &topic, group: &topic };
    let contenders = bench.requested(&Contender::ALL)?;
    bench
        .rounds("latency", &contenders, async |contender, round| {
            bench.empty_valkey().await?;
            let deployment = contender.start(Part::Accept, names, &bench.servers).await?;
            let mut samples = Vec::new();
            for &rate in &bench.args.rates {
                let load = Load::closed(deployment.address()?, CONNECTIONS, bench.args.seconds);
                let load = Load { rate: Some(rate), ..load };
                let figures = bench.load(&deployment, load).await?;
                let case = Case::number(rate as f64, "requests/s");
                samples.push(Sample { round, contender: contender.to_string(), case, figures });
            }
            deployment.stop().await?;
            Ok(samples)
        })
        .await
}
