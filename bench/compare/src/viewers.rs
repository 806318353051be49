//! Measures what viewers of the live page cost: the same pipeline, which also counts the sales,
//! with and without viewers.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::accept::{self, Accept, TOPIC};
use crate::args::Args;
use crate::contender::{Contender, ours};
use crate::process::{Process, free_address};
use crate::servers::Servers;

/// The pipeline that is viewed. Its live page shows the sales that it counts.
const MANIFEST: &str = "spin-fused.toml";

/// One turn: the loads without viewers, then with them.
pub async fn measure(args: &Args, servers: &Servers) -> Result<Vec<Accept>> {
    let address = free_address()?;
    let variables = [("kafka_topic", TOPIC), ("kafka_group", "bench-viewers")];
    let command = ours(Path::new(MANIFEST), address, servers, &variables)?;
    let mut server = Process::start("viewers", command)?;
    server.listens(address).await.context("the viewed pipeline")?;
    let mut accepts = accept::loads(Contender::Counting, &server, address, args, servers).await?;
    let viewers = Viewers::open(args.viewers, address).await?;
    accepts.extend(accept::loads(Contender::Viewed, &server, address, args, servers).await?);
    viewers.close()?;
    server.stop().await?;
    Ok(accepts)
}

/// Open streams of the page's events, which are read and dropped.
struct Viewers {
    /// For each viewer, how many bytes it has received.
    received: Vec<Arc<AtomicU64>>,
    /// What each had received when all were open.
    begun: Vec<u64>,
    _reading: JoinSet<()>,
}

impl Viewers {
    async fn open(number: u32, address: SocketAddr) -> Result<Self> {
        let (mut received, mut reading) = (Vec::new(), JoinSet::new());
        for _ in 0..number {
            let mut stream = TcpStream::connect(address).await.context("cannot view the page")?;
            stream.write_all(b"GET /api/v1/events HTTP/1.1\r\nhost: bench\r\n\r\n").await?;
            let count = Arc::<AtomicU64>::default();
            received.push(count.clone());
            reading.spawn(async move {
                let mut buffer = vec![0; 64 << 10];
                while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
                    count.fetch_add(bytes as u64, Ordering::Relaxed);
                }
            });
        }
        let begun = received.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        Ok(Self { received, begun, _reading: reading })
    }

    /// Fails if one of them got nothing: then the measurement was one of fewer viewers.
    fn close(self) -> Result<()> {
        let counts = self.received.iter().map(|count| count.load(Ordering::Relaxed));
        let idle = counts.zip(&self.begun).filter(|(count, begun)| count <= begun).count();
        ensure!(idle == 0, "{idle} of {} viewers received nothing", self.received.len());
        Ok(())
    }
}
