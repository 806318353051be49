//! Measures the request path: from the HTTP request to the broker's acknowledgement.

use anyhow::Result;

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::load::Load;
use crate::results::{Case, Column, Design, Sample};

/// The figures that every closed load has.
pub const COLUMNS: &[Column] = &[
    Column::with_ratio("accepted_per_s", "sales/s"),
    Column::new("p50_ms", "p50, ms"),
    Column::new("p99_ms", "p99, ms"),
    Column::new("failed_share", "share of failures"),
    Column::with_ratio("contender_cpu_s", "CPU s of the contender"),
    Column::new("load_cpu_s", "CPU s of the load"),
    Column::new("kafka_cpu_s", "CPU s of Kafka"),
    Column::new("valkey_cpu_s", "CPU s of Valkey"),
    Column::new("memory_mib", "memory, MiB"),
];

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "accept",
    title: "from the request to the broker's acknowledgement",
    base: "native",
    x_axis: None,
    columns: COLUMNS,
};

/// Numbers of connections of the loads before the first turn, and their duration.
const WARM_UP_CONNECTIONS: [u32; 2] = [50, 200];
const BROKER_WARM_UP_SECONDS: u64 = 5;

/// Loads the broker until the JVM has compiled its code. A cold broker would slow down the
/// contender that is measured first.
pub async fn warm_up(bench: &Bench) -> Result<()> {
    let topic = bench.topic(PARTITIONS).await?;
    let names = Names { topic: &topic, group: &topic };
    let native = Contender::Native.start(Part::Accept, names, &bench.servers).await?;
    for connections in WARM_UP_CONNECTIONS {
        Load::closed(native.address()?, connections, BROKER_WARM_UP_SECONDS).run().await?;
    }
    native.stop().await
}

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    let contenders = bench.requested(&Contender::ALL)?;
    bench
        .rounds("accept", &contenders, async |contender, round| {
            turn(bench, contender, round, &topic).await
        })
        .await
}

/// All loads on one contender, with and without keys.
async fn turn(bench: &Bench, contender: Contender, round: u32, topic: &str) -> Result<Vec<Sample>> {
    bench.empty_valkey().await?;
    let names = Names { topic, group: topic };
    let deployment = contender.start(Part::Accept, names, &bench.servers).await?;
    let mut samples = Vec::new();
    for &connections in &bench.args.connections {
        for keys in [true, false] {
            let address = deployment.address()?;
            let load = Load { keys, ..Load::closed(address, connections, bench.args.seconds) };
            let figures = bench.load(&deployment, load).await?;
            let suffix = if keys { "" } else { ", without keys" };
            let case = Case::named(format!("{connections} connections{suffix}"));
            samples.push(Sample { round, contender: contender.to_string(), case, figures });
        }
    }
    deployment.stop().await?;
    Ok(samples)
}
