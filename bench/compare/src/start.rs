//! Measures the start: from the start of the processes to the answer to the first sale. Compiled
//! components are in the cache.

use anyhow::Result;
use tokio::time::Instant;

use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::http::Client;
use crate::results::{Case, Column, Design, Figures, Sample};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "start",
    title: "from the start of the program to the first accepted sale",
    base: "native",
    x_axis: None,
    columns: &[
        Column::with_ratio("listens_ms", "listens, ms"),
        Column::with_ratio("first_sale_ms", "first sale, ms"),
        Column::with_ratio("memory_mib", "memory after it, MiB"),
    ],
};

/// Starts in each turn; they are samples of their own.
const STARTS: u32 = 3;

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let topic = bench.topic(PARTITIONS).await?;
    for contender in Contender::SINGLE {
        // Compiles the components.
        start(bench, contender, &topic).await?;
    }
    bench
        .rounds("start", &Contender::SINGLE, async |contender, round| {
            let mut samples = Vec::new();
            for _ in 0..STARTS {
                let figures = start(bench, contender, &topic).await?;
                let case = Case::named("whole pipeline");
                samples.push(Sample { round, contender: contender.to_string(), case, figures });
            }
            Ok(samples)
        })
        .await
}

async fn start(bench: &Bench, contender: Contender, topic: &str) -> Result<Figures> {
    bench.empty_valkey().await?;
    let names = Names { topic, group: topic };
    let begun = Instant::now();
    let ms = || begun.elapsed().as_secs_f64() * 1_000.0;
    let deployment = contender.start(Part::Whole, names, &bench.servers).await?;
    let listens_ms = ms();
    Client::new(deployment.address()?).sell("first").await?;
    let first_sale_ms = ms();
    let memory_mib = deployment.memory_mib()?;
    deployment.stop().await?;
    Ok(Figures::from([
        ("listens_ms".into(), listens_ms),
        ("first_sale_ms".into(), first_sale_ms),
        ("memory_mib".into(), memory_mib),
    ]))
}
