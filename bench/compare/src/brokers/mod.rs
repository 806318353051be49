//! Compares Kafka and RabbitMQ under the same application, `examples/weather`: with the same posts, the
//! same component and the same store.

mod faults;
mod latency;
mod posts;
mod proxy;
mod publisher;
mod speed;
mod stage;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redis::aio::MultiplexedConnection;
use tokio::time::{Instant, sleep};

use crate::args::Args;
use crate::bench::order;
use crate::results::{self, Case, Figures, Sample};
use crate::table;
use stage::{Broker, Stage, counted};

/// Interval at which the counts are read.
const POLL: Duration = Duration::from_millis(5);

/// A path that counts nothing for this time is considered failed.
const IDLE_MAX: Duration = Duration::from_secs(180);

/// The figures of one turn, for each case.
type Turn = Vec<(Case, Figures)>;

/// All measurements: in each round both brokers have a turn, with servers of their own. If a turn
/// fails, the results until then are written, too.
pub async fn measure(args: &Args) -> Result<()> {
    let mut samples = [Vec::new(), Vec::new(), Vec::new()];
    let measured = rounds(args, &mut samples).await;
    for (design, samples) in [speed::DESIGN, latency::DESIGN, faults::DESIGN].iter().zip(&samples) {
        if !samples.is_empty() {
            results::write_as(table::beside, design, args, samples)?;
        }
    }
    measured
}

async fn rounds(args: &Args, [speed, latency, faults]: &mut [Vec<Sample>; 3]) -> Result<()> {
    for round in 1..=args.rounds {
        for broker in order(&Broker::ALL, round) {
            tracing::info!(round, of = args.rounds, %broker, "comparing brokers");
            let add = |to: &mut Vec<Sample>, turn: Turn| {
                to.extend(turn.into_iter().map(|(case, figures)| Sample {
                    round,
                    contender: broker.to_string(),
                    case,
                    figures,
                }));
            };
            let mut stage = Stage::start(broker).await?;
            let place = || format!("round {round}, {broker}");
            add(speed, speed::turn(&mut stage, args).await.with_context(place)?);
            add(latency, latency::turn(&mut stage, args).await.with_context(place)?);
            add(faults, faults::turn(&mut stage).await.with_context(place)?);
        }
    }
    Ok(())
}

/// Waits until this number of posts is counted.
async fn reach(posts: u64, store: &mut MultiplexedConnection) -> Result<u64> {
    let (mut highest, mut since) = (0, Instant::now());
    loop {
        let now = counted(store).await?;
        if now >= posts {
            return Ok(now);
        }
        if now > highest {
            (highest, since) = (now, Instant::now());
        }
        ensure!(since.elapsed() < IDLE_MAX, "stuck at {highest} of {posts} posts for {IDLE_MAX:?}");
        sleep(POLL).await;
    }
}
