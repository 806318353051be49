//! Measures what viewers of the live page cost: the pipeline, which also counts the sales, with and
//! without viewers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::accept::{self, Accept, PARTITIONS};
use crate::args::Args;
use crate::contender::Contender;
use crate::report::Report;
use crate::servers::Servers;

/// A request for the page's events, which the server answers for 8 s.
const REQUEST: &[u8] = b"GET /api/v1/events HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n";
const STATUS: &[u8] = b"HTTP/1.1 200 ";

/// How long a browser waits before its next request.
const PAUSE: Duration = Duration::from_millis(250);

/// All turns. The order of the contenders alternates.
pub async fn compare(args: &Args, servers: &Servers) -> Result<Report> {
    let mut report = Report::default();
    for round in 1..=args.rounds {
        let mut contenders = Contender::VIEWED;
        if round % 2 == 0 {
            contenders.reverse();
        }
        for contender in contenders {
            tracing::info!(round, of = args.rounds, %contender, "live page");
            report.accepts.extend(measure(contender, round, args, servers).await?);
        }
    }
    Ok(report)
}

/// One turn: a new topic, an empty Valkey and a new process.
async fn measure(
    contender: Contender,
    round: u32,
    args: &Args,
    servers: &Servers,
) -> Result<Vec<Accept>> {
    let client = redis::Client::open(servers.valkey.url())?;
    let mut valkey = client.get_multiplexed_async_connection().await?;
    let () = redis::cmd("FLUSHALL").query_async(&mut valkey).await?;
    let topic = format!("bench-{contender}-{round}");
    ensure_topic(&ProducerConfig::new(servers.brokers()), NewTopic::new(&topic, PARTITIONS))
        .await?;
    let (server, address) = contender.start_counting(&topic, servers).await?;
    let viewers = match contender {
        Contender::Viewed => Some(Viewers::open(args.viewers, address)),
        _ => None,
    };
    let mut accepts = Vec::new();
    for &connections in &args.connections {
        let before = viewers.as_ref().map(Viewers::received);
        accepts
            .push(accept::one_load(contender, &server, address, connections, args, servers).await?);
        if let (Some(viewers), Some(before)) = (&viewers, before) {
            viewers.check(&before)?;
        }
    }
    drop(viewers);
    server.stop().await?;
    Ok(accepts)
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
