//! Measures at fixed rates the time until a post is acknowledged, and until it is counted.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use redis::aio::MultiplexedConnection;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::args::Args;
use crate::brokers::posts::Post;
use crate::brokers::publisher::Publisher;
use crate::brokers::stage::{Stage, are_counted};
use crate::brokers::{Turn, reach};
use crate::results::{Case, Column, Design, Figures};
use crate::statistics::percentile;

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "brokers-latency",
    title: "from when a post is due until it is acknowledged and until it is counted",
    base: "Kafka",
    x_axis: Some("posts per second"),
    columns: &[
        Column::with_ratio("acknowledged_p50_ms", "acknowledged, median, ms"),
        Column::with_ratio("acknowledged_p99_ms", "acknowledged, 99 %, ms"),
        Column::with_ratio("counted_p50_ms", "counted, median, ms"),
        Column::with_ratio("counted_p99_ms", "counted, 99 %, ms"),
    ],
};

/// Posts before the measurement, and the seconds over which they are spread.
const WARM_UP: (u64, u64) = (500, 2);

/// The most probes of all rates together: each has a country of its own.
const PROBES_MAX: u64 = 600;

/// Interval at which the counts are read: the resolution of the result.
const POLL: Duration = Duration::from_millis(1);

/// Maximum time until a probe is counted.
const PROBE_LIMIT: Duration = Duration::from_secs(60);

/// One turn: all rates, one after the other.
pub async fn turn(stage: &mut Stage, args: &Args) -> Result<Turn> {
    let mut store = stage.connect_store().await?;
    stage.start_program()?;
    let publisher = Arc::new(Publisher::new(&stage.destination())?);
    let (number, warm_up_s) = WARM_UP;
    let first = stage.posts;
    let warm_up =
        (0..number).map(|n| (Post::numbered(first + n), n * 1_000_000 * warm_up_s / number));
    send(&publisher, warm_up, None).await?;
    stage.posts += number;
    reach(stage.published(), &mut store).await?;

    let (mut turn, mut probes) = (Turn::new(), Post::probes().skip(stage.probes));
    for &rate in &args.rates {
        let total = rate * args.seconds;
        // Evenly distributed among the other posts.
        let stride = (total * args.rates.len() as u64).div_ceil(PROBES_MAX).max(1);
        let mut posts = Vec::new();
        for n in 0..total {
            let probe = if n % stride == 0 { probes.next() } else { None };
            match &probe {
                Some(_) => stage.probes += 1,
                None => stage.posts += 1,
            }
            let post = probe.unwrap_or_else(|| Post::numbered(stage.posts - 1));
            posts.push((post, n * 1_000_000 / rate));
        }
        let figures = measure(&publisher, posts.into_iter(), &mut store).await?;
        turn.push((Case::number(rate as f64, "posts/s"), figures));
        reach(stage.published(), &mut store).await?;
    }
    stage.stop_program().await?;
    Ok(turn)
}

async fn measure(
    publisher: &Arc<Publisher>,
    posts: impl Iterator<Item = (Post, u64)>,
    store: &mut MultiplexedConnection,
) -> Result<Figures> {
    let (sent, outstanding) = mpsc::channel(PROBES_MAX as usize);
    let watch = watch(outstanding, store);
    let (mut acknowledged_ms, mut counted_ms) =
        tokio::try_join!(send(publisher, posts, Some(sent)), watch)?;
    ensure!(!counted_ms.is_empty(), "there is no probe");
    let mut figures = Figures::new();
    for (name, values) in [("acknowledged", &mut acknowledged_ms), ("counted", &mut counted_ms)] {
        for (percent, share) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = percentile(values, share);
            figures.extend(value.map(|ms| (format!("{name}_{percent}_ms"), ms)));
        }
    }
    Ok(figures)
}

/// A post that is acknowledged, and when it was due.
struct Probe {
    country: String,
    due: Instant,
}

/// Publishes each post at its time, in microseconds from the start. Returns the milliseconds from then
/// until it is acknowledged. Posts of unused countries are reported before they are published.
async fn send(
    publisher: &Arc<Publisher>,
    posts: impl Iterator<Item = (Post, u64)>,
    probes: Option<mpsc::Sender<Probe>>,
) -> Result<Vec<f64>> {
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for (post, at_us) in posts {
        let due = begun + Duration::from_micros(at_us);
        sleep_until(due).await;
        if let Some(probes) = probes.as_ref().filter(|_| post.id.starts_with("probe")) {
            let probe = Probe { country: post.country.clone(), due };
            // If this fails, `watch` has failed.
            let _ = probes.send(probe).await;
        }
        let publisher = publisher.clone();
        tasks.spawn(async move {
            publisher.publish(std::slice::from_ref(&post)).await?;
            anyhow::Ok(due.elapsed().as_secs_f64() * 1_000.0)
        });
    }
    drop(probes);
    tasks.join_all().await.into_iter().collect()
}

/// Waits until the probes are counted. Returns the milliseconds from when they were due until then.
async fn watch(
    mut probes: mpsc::Receiver<Probe>,
    store: &mut MultiplexedConnection,
) -> Result<Vec<f64>> {
    let (mut counted_ms, mut outstanding) = (Vec::new(), Vec::<Probe>::new());
    loop {
        if outstanding.is_empty() {
            match probes.recv().await {
                Some(probe) => outstanding.push(probe),
                None => return Ok(counted_ms),
            }
        }
        while let Ok(probe) = probes.try_recv() {
            outstanding.push(probe);
        }
        let countries: Vec<&str> = outstanding.iter().map(|probe| &*probe.country).collect();
        let mut counted = are_counted(store, &countries).await?.into_iter();
        outstanding.retain(|probe| {
            let is_counted = counted.next() == Some(true);
            if is_counted {
                counted_ms.push(probe.due.elapsed().as_secs_f64() * 1_000.0);
            }
            !is_counted
        });
        if let Some(late) = outstanding.iter().find(|probe| probe.due.elapsed() > PROBE_LIMIT) {
            bail!("the probe {} was not counted within {PROBE_LIMIT:?}", late.country);
        }
        sleep(POLL).await;
    }
}
