//! Kills, freezes, cuts off and stops every part while posts are published, and compares the counts with a naive
//! recount.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use redis::aio::MultiplexedConnection;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::brokers::posts::Post;
use crate::brokers::publisher::{Destination, publish_until_acknowledged};
use crate::brokers::stage::{Part, Stage, counted};
use crate::brokers::{IDLE_MAX, POLL, Turn};
use crate::results::{Case, Column, Design, Figures};

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "brokers-faults",
    title: "what faults cost: posts lost and doubled, and the time until posts are counted again",
    base: "Kafka",
    x_axis: None,
    columns: &[
        Column::new("lost", "posts lost"),
        Column::new("doubled", "posts doubled"),
        Column::new("published_again", "posts published again"),
        Column::with_ratio("recovery_s", "s until posts are counted again"),
    ],
};

/// Number of posts.
const POSTS: u64 = 100_000;

/// Posts that are published with one call, and publishers at the same time, each with a connection.
const CHUNK: u64 = 20;
const PUBLISHERS: usize = 16;

/// For how long a part is frozen, or not reachable.
const OUTAGE: Duration = Duration::from_secs(5);

/// How long the counts must stay as they are, without lag, until they are compared.
const SETTLED: Duration = Duration::from_secs(10);

/// Interval at which that is checked.
const SETTLE_POLL: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// SIGKILL, and a start.
    Kill(Part),
    /// SIGSTOP for some seconds: the connections stay open, and nothing is answered.
    Freeze(Part),
    /// All connections to the part are closed, and new ones are refused, for some seconds. For the
    /// program these are the connections of the clients.
    Cut(Part),
    /// SIGTERM to the program, and a start.
    Stop,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::Kill(Part::Program),
        Self::Kill(Part::Broker),
        Self::Kill(Part::Store),
        Self::Freeze(Part::Program),
        Self::Freeze(Part::Broker),
        Self::Freeze(Part::Store),
        Self::Cut(Part::Program),
        Self::Cut(Part::Broker),
        Self::Cut(Part::Store),
        Self::Stop,
    ];

    /// Injects the fault. Returns when a part became unavailable, or for a
    /// freeze or a cut when it ended.
    async fn inject(self, stage: &mut Stage) -> Result<Instant> {
        let begun = Instant::now();
        match self {
            Self::Kill(part) => stage.kill(part).await?,
            Self::Freeze(part) => {
                stage.freeze(part, true)?;
                sleep(OUTAGE).await;
                stage.freeze(part, false)?;
                return Ok(Instant::now());
            }
            Self::Cut(part) => {
                stage.cut(part, true);
                sleep(OUTAGE).await;
                stage.cut(part, false);
                return Ok(Instant::now());
            }
            Self::Stop => {
                stage.stop_program().await?;
                stage.start_proxied_program()?;
            }
        }
        Ok(begun)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill(part) => write!(f, "{part} killed"),
            Self::Freeze(part) => write!(f, "{part} frozen for {} s", OUTAGE.as_secs()),
            Self::Cut(part) => write!(f, "{part} not reachable for {} s", OUTAGE.as_secs()),
            Self::Stop => f.write_str("program stopped"),
        }
    }
}

/// One turn.
pub async fn turn(stage: &mut Stage) -> Result<Turn> {
    stage.start_proxied_program()?;
    let progress = Progress::default();
    let (destination, first) = (stage.front_door(), stage.posts);
    let publishers = try_join_all((0..PUBLISHERS).map(|_| publish(&progress, &destination, first)));
    let already = stage.published();
    let (_, mut turn) = tokio::try_join!(publishers, inject_all(stage, &progress, already))?;
    stage.posts += POSTS;

    settle(stage).await?;
    let (lost, doubled) = stage.lost_and_doubled().await?;
    stage.stop_program().await?;
    let again = progress.again.load(Ordering::Relaxed);
    let all = [("lost", lost), ("doubled", doubled), ("published_again", again)];
    let all = all.map(|(name, number)| (name.to_owned(), number as f64));
    turn.push((Case::named(format!("{POSTS} posts, all faults")), Figures::from(all)));
    Ok(turn)
}

/// How far the publishers are.
struct Progress {
    /// The number of the next chunk.
    next: AtomicU64,
    /// The number of posts that were acknowledged.
    acknowledged: AtomicU64,
    /// The number of posts that were published again.
    again: AtomicU64,
    /// Chunks that may be published: each fault has its share, so that posts are published during all
    /// of them.
    permits: Semaphore,
}

/// The chunks between two faults. The last share is published after the last fault.
const SHARE: u64 = POSTS / CHUNK / (Fault::ALL.len() as u64 + 1);

impl Default for Progress {
    fn default() -> Self {
        let permits = Semaphore::new(SHARE as usize);
        let number = || AtomicU64::new(0);
        Self { next: number(), acknowledged: number(), again: number(), permits }
    }
}

/// Publishes chunks of posts, whose numbers begin with `begin`, until there are no more.
async fn publish(progress: &Progress, destination: &Destination, begin: u64) -> Result<()> {
    let mut publisher = None;
    loop {
        progress.permits.acquire().await?.forget();
        let first = progress.next.fetch_add(1, Ordering::Relaxed) * CHUNK;
        if first >= POSTS {
            return Ok(());
        }
        let numbers = first..POSTS.min(first + CHUNK);
        let posts: Vec<_> = numbers.map(|n| Post::numbered(begin + n)).collect();
        let attempts = publish_until_acknowledged(&mut publisher, destination, &posts).await?;
        progress.again.fetch_add((attempts - 1) * posts.len() as u64, Ordering::Relaxed);
        progress.acknowledged.fetch_add(posts.len() as u64, Ordering::Relaxed);
    }
}

/// Injects one fault after the other, in the middle of its share of the posts. `already` were counted
/// before.
async fn inject_all(stage: &mut Stage, progress: &Progress, already: u64) -> Result<Turn> {
    let mut turn = Turn::new();
    for (number, fault) in (0..).zip(Fault::ALL) {
        let middle = (2 * number + 1) * SHARE * CHUNK / 2;
        while progress.acknowledged.load(Ordering::Relaxed) < middle {
            sleep(POLL).await;
        }
        // Something of the share before is counted, so the fault meets a running path.
        grow(stage, already + number * SHARE * CHUNK).await?;
        progress.permits.add_permits(SHARE as usize);
        tracing::info!(%fault, "injecting");
        let begun = fault.inject(stage).await?;
        let before = grow(stage, 0).await?;
        grow(stage, before).await?;
        let figures = Figures::from([("recovery_s".into(), begun.elapsed().as_secs_f64())]);
        turn.push((Case::named(fault.to_string()), figures));
    }
    // More than are needed, so that all publishers end.
    progress.permits.add_permits((POSTS / CHUNK) as usize);
    Ok(turn)
}

/// Waits until more posts than these are counted, and returns their number. The store may not answer
/// meanwhile.
async fn grow(stage: &Stage, posts: u64) -> Result<u64> {
    let begun = Instant::now();
    let mut store: Option<MultiplexedConnection> = None;
    loop {
        if store.is_none() {
            store = stage.connect_store().await.ok();
        }
        if let Some(connection) = &mut store {
            match counted(connection).await {
                Ok(now) if now > posts => return Ok(now),
                Ok(_) => {}
                Err(_) => store = None,
            }
        }
        ensure!(begun.elapsed() < IDLE_MAX, "stuck at {posts} posts for {IDLE_MAX:?}");
        sleep(POLL).await;
    }
}

/// Waits until the application has handled all records, also those that were published twice: until it
/// has no lag, and the count does not change any more. Posts that are lost never arrive.
async fn settle(stage: &Stage) -> Result<()> {
    let (mut last, mut changed, mut busy) = (0, Instant::now(), Instant::now());
    while busy.elapsed() < SETTLED {
        let now = grow(stage, 0).await?;
        let lag = lag(&stage.metrics_url()).await.unwrap_or(f64::INFINITY);
        if now != last {
            (last, changed) = (now, Instant::now());
        }
        if lag > 0.0 {
            busy = Instant::now();
        }
        busy = busy.max(changed);
        ensure!(changed.elapsed() < IDLE_MAX, "{lag} posts were not handled for {IDLE_MAX:?}");
        sleep(SETTLE_POLL).await;
    }
    Ok(())
}

/// The number of posts that are not handled, from the metrics.
async fn lag(url: &str) -> Result<f64> {
    let text = reqwest::get(url).await?.error_for_status()?.text().await?;
    let mut lags = text.lines().filter(|line| line.starts_with("spin_kafka_lag{")).peekable();
    lags.peek().context("there is no lag")?;
    lags.map(|line| Ok(line.rsplit_once(' ').context("no value")?.1.parse::<f64>()?)).sum()
}
