//! Measures what viewers of the live page cost: the pipeline, which also counts the sales, with and
//! without viewers.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::accept;
use crate::bench::{Bench, PARTITIONS};
use crate::contender::{Contender, Names, Part};
use crate::load::Load;
use crate::results::{Case, Design, Sample};

/// A request for the page's events, which the server answers for 8 s.
const REQUEST: &[u8] = b"GET /api/v1/events HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
const STATUS: &[u8] = b"HTTP/1.1 200 ";

/// How long a browser waits before its next request.
const PAUSE: Duration = Duration::from_millis(250);

/// How it is presented.
pub const DESIGN: Design = Design {
    name: "viewers",
    title: "the whole pipeline with and without viewers of its live page",
    base: "without viewers",
    ..accept::DESIGN
};

/// Whether the page has viewers.
#[derive(Debug, Clone, Copy)]
struct Viewed(bool);

impl fmt::Display for Viewed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if self.0 { "with viewers" } else { DESIGN.base })
    }
}

/// All turns.
pub async fn measure(bench: &Bench) -> Result<Vec<Sample>> {
    let contenders = [Viewed(false), Viewed(true)];
    bench
        .rounds("viewers", &contenders, async |viewed, round| turn(bench, viewed, round).await)
        .await
}

/// One turn: a new topic, an empty Valkey and a new process.
async fn turn(bench: &Bench, viewed: Viewed, round: u32) -> Result<Vec<Sample>> {
    bench.empty_valkey().await?;
    let topic = bench.topic(PARTITIONS).await?;
    let names = Names { topic: &topic, group: &topic };
    let deployment = Contender::Fused.start(Part::Whole, names, &bench.servers).await?;
    let address = deployment.address()?;
    let viewers = viewed.0.then(|| Viewers::open(bench.args.viewers, address));
    let mut samples = Vec::new();
    for &connections in &bench.args.connections {
        let before = viewers.as_ref().map(Viewers::received);
        let load = Load::closed(address, connections, bench.args.seconds);
        let figures = bench.load(&deployment, load).await?;
        if let (Some(viewers), Some(before)) = (&viewers, before) {
            viewers.check(&before)?;
        }
        let case = Case::named(format!("{connections} connections"));
        samples.push(Sample { round, contender: viewed.to_string(), case, figures });
    }
    drop(viewers);
    deployment.stop().await?;
    Ok(samples)
}

/// Viewers, who read the page's events as long as this exists.
struct Viewers {
    /// For each viewer, how many bytes it has received.
    received: Vec<Arc<AtomicU64>>,
    _reading: JoinSet<()>,
}

impl Viewers {
    fn open(number: u32, address: SocketAddr) -> Self {
        let (mut received, mut reading) = (Vec::new(), JoinSet::new());
        for _ in 0..number {
            let count = Arc::<AtomicU64>::default();
            received.push(count.clone());
            reading.spawn(async move {
                while let Err(error) = view(address, &count).await {
                    tracing::warn!(%error, "a viewer");
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
        Self { received, _reading: reading }
    }

    fn received(&self) -> Vec<u64> {
        self.received.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    /// Fails if one of them received nothing since `before`: then there were fewer viewers.
    fn check(&self, before: &[u64]) -> Result<()> {
        let idle = self.received().iter().zip(before).filter(|(now, before)| now <= before).count();
        ensure!(idle == 0, "{idle} of {} viewers received nothing", self.received.len());
        Ok(())
    }
}

/// Reads events until the server refuses them.
async fn view(address: SocketAddr, received: &AtomicU64) -> Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let mut stream = TcpStream::connect(address).await.context("cannot view the page")?;
        stream.write_all(REQUEST).await?;
        let mut status = vec![0; STATUS.len()];
        stream.read_exact(&mut status).await?;
        ensure!(status == STATUS, "the page is not served: {}", String::from_utf8_lossy(&status));
        loop {
            match stream.read(&mut buffer).await? {
                0 => break,
                bytes => received.fetch_add(bytes as u64, Ordering::Relaxed),
            };
        }
        tokio::time::sleep(PAUSE).await;
    }
}
