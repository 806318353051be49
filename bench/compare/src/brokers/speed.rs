//! Measures how fast posts are stored by the broker, and then how fast they are counted.

use anyhow::{Result, ensure};
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;

use crate::args::Args;
use crate::brokers::posts::Post;
use crate::brokers::publisher::Publisher;
use crate::brokers::stage::{Part, Stage};
use crate::brokers::{Turn, reach};
use crate::cpu;
use crate::memory;
use crate::results::{Case, Column, Design, Figures};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "brokers-speed",
    title: "the same posts through Kafka and through RabbitMQ",
    base: "Kafka",
    x_axis: None,
    columns: &[
        Column::with_ratio("published_per_s", "posts/s published and acknowledged"),
        Column::with_ratio("publish_broker_cpu_s", "CPU s of the broker, publishing"),
        Column::with_ratio("counted_per_s", "posts/s counted"),
        Column::with_ratio("broker_cpu_s", "CPU s of the broker, counting"),
        Column::with_ratio("program_cpu_s", "CPU s of the program"),
        Column::with_ratio("store_cpu_s", "CPU s of Valkey"),
        Column::with_ratio("broker_memory_mib", "memory of the broker, MiB"),
        Column::with_ratio("program_memory_mib", "memory of the program, MiB"),
    ],
};

/// Number of posts that are published with one call, and number of such calls in flight.
const CHUNK: u64 = 500;
const CHUNKS_IN_FLIGHT: usize = 16;

/// One turn.
pub async fn turn(stage: &mut Stage, args: &Args) -> Result<Turn> {
    let posts = args.sales;
    let mut store = stage.connect_store().await?;
    let per_100_000 = |seconds: f64, of: u64| seconds * 100_000.0 / of as f64;

    let publisher = Publisher::new(&stage.destination())?;
    let chunks = (0..posts)
        .step_by(CHUNK as usize)
        .map(|first| (first..posts.min(first + CHUNK)).map(Post::numbered).collect::<Vec<_>>());
    let (begun, broker_s) = (Instant::now(), cpu::of_process(stage.pid(Part::Broker)?)?);
    stream::iter(chunks)
        .map(async |chunk| publisher.publish(&chunk).await)
        .buffered(CHUNKS_IN_FLIGHT)
        .try_for_each(|()| async { Ok(()) })
        .await?;
    let published_s = begun.elapsed().as_secs_f64();
    let publish_broker_s = cpu::of_process(stage.pid(Part::Broker)?)? - broker_s;

    stage.posts += posts;

    stage.start_program()?;
    let first = reach(1, &mut store).await?;
    let used = |stage: &Stage| -> Result<[f64; 3]> {
        let [program, broker, store] = Part::ALL.map(|part| stage.pid(part));
        Ok([cpu::of_process(program?)?, cpu::of_process(broker?)?, cpu::of_process(store?)?])
    };
    let (begun, before) = (Instant::now(), used(stage)?);
    let last = reach(posts, &mut store).await?;
    let (counted_s, after) = (begun.elapsed().as_secs_f64(), used(stage)?);
    let counted = last - first;
    ensure!(counted > 0, "all posts were counted at once: too few for a measurement");
    let mut figures = Figures::from([
        ("published_per_s".into(), posts as f64 / published_s),
        ("publish_broker_cpu_s".into(), per_100_000(publish_broker_s, posts)),
        ("counted_per_s".into(), counted as f64 / counted_s),
    ]);
    for ((part, before), after) in Part::ALL.into_iter().zip(before).zip(after) {
        figures.insert(format!("{part}_cpu_s"), per_100_000(after - before, counted));
        figures.insert(format!("{part}_memory_mib"), memory::of_process_mib(stage.pid(part)?)?);
    }
    stage.stop_program().await?;
    let (lost, doubled) = stage.lost_and_doubled().await?;
    ensure!(lost + doubled == 0, "{lost} posts were lost, and {doubled} doubled");
    Ok(vec![(Case::named(format!("{posts} posts")), figures)])
}
