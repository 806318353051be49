//! The load during a fault.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http::Method;
use load::{Stop, Summary};
use sale::Sale;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::{Client, in_time};

/// Requests per second of clients that retry until they are accepted, and of clients without keys,
/// which do not retry. Programs that are not optimized would be overloaded by more of them beside other
/// tests, and refuse requests of clients that do not retry.
const RATE: u64 = if cfg!(debug_assertions) { 100 } else { 500 };
const KEYLESS_RATE: u64 = if cfg!(debug_assertions) { 60 } else { 300 };
/// Number of connections of each kind of client.
const CONNECTIONS: u32 = 16;
/// Percentage of accepted requests that are sent again.
const REPEAT: u8 = 10;
/// Maximum time to wait for a response, in seconds. It is longer for clients that do not retry.
const ANSWER_LIMIT_S: u64 = 3;
const KEYLESS_LIMIT_S: u64 = 60;
/// Number of sales that are counted before the fault.
const BEGINNING: u64 = 200;

/// The loads in progress.
pub struct Traffic {
    stop: CancellationToken,
    loads: Vec<JoinHandle<Result<Summary>>>,
    ledgers: Vec<PathBuf>,
    folder: TempDir,
}

/// The behaviour of the clients.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// Whether some clients send no key. Then each of their requests must be accepted at the first
    /// attempt.
    pub keyless: bool,
    /// Whether every accepted request is sent again.
    pub repeat_all: bool,
}

impl Traffic {
    /// Starts the loads, and waits until sales are counted.
    pub async fn start(world: &World, seed: u64, manners: Manners) -> Result<Self> {
        let (folder, stop) = (TempDir::with_prefix("ledgers-")?, CancellationToken::new());
        let mut traffic = Self { stop, loads: Vec::new(), ledgers: Vec::new(), folder };
        let store = world.store.connect().await?;
        let begun = store.total().await;
        traffic.load(load::Args {
            retries: u32::MAX,
            repeat: if manners.repeat_all { 100 } else { REPEAT },
            ..traffic.args(world, seed, RATE)?
        });
        if manners.keyless {
            let args = traffic.args(world, seed.wrapping_add(1), KEYLESS_RATE)?;
            let (without_keys, timeout) = (true, KEYLESS_LIMIT_S);
            traffic.load(load::Args { without_keys, timeout, ..args });
        }
        in_time("sales are counted", async || {
            (store.total().await >= begun + BEGINNING).then_some(())
        })
        .await?;
        Ok(traffic)
    }

    fn args(&self, world: &World, seed: u64, rate: u64) -> Result<load::Args> {
        let number = self.ledgers.len();
        Ok(load::Args {
            url: format!("{}/purchase", world.url()).parse()?,
            count: u64::MAX,
            seconds: None,
            connections: CONNECTIONS,
            rate: Some(rate),
            retries: 0,
            timeout: ANSWER_LIMIT_S,
            repeat: 0,
            without_keys: false,
            seed,
            products: 50,
            ledger: Some(self.folder.path().join(format!("{number}.ndjson"))),
            json: false,
            quiet: true,
        })
    }

    fn load(&mut self, args: load::Args) {
        self.ledgers.extend(args.ledger.clone());
        let stop = Stop::Finish(Box::pin(self.stop.clone().cancelled_owned()));
        self.loads.push(tokio::spawn(load::run(args, stop)));
    }

    /// Lets the clients complete the requests that they have started. Returns their ledgers.
    pub async fn finish(mut self) -> Result<Ledgers> {
        self.stop.cancel();
        for load in self.loads.drain(..) {
            let summary = load.await??;
            ensure!(summary.failed.is_empty(), "requests were refused permanently: {summary:?}");
        }
        Ok(Ledgers { files: self.ledgers, _folder: self.folder })
    }
}

/// The ledgers of the loads.
pub struct Ledgers {
    /// The paths of the files.
    pub files: Vec<PathBuf>,
    _folder: TempDir,
}

/// Sends a sale with a new product until it is accepted, and waits until it is counted. Returns the
/// sale and the time that this took.
pub async fn fresh_sale(world: &World, number: u64) -> Result<(Sale, Duration)> {
    let product_id = format!("fresh-{number}");
    let sale = Sale { category: 1, product_id: product_id.clone(), price: 1.0, quantity: 1 };
    let (begun, client) = (Instant::now(), Client::new(&world.url()));
    let headers = [("content-type", "application/json"), ("idempotency-key", &product_id)];
    in_time("a fresh sale is accepted", async || {
        let send = client.send(Method::POST, "/purchase", &headers, sale.to_json());
        let answer = tokio::time::timeout(Duration::from_secs(ANSWER_LIMIT_S), send).await;
        (answer.ok()?.ok()?.status == 200).then_some(())
    })
    .await?;
    let store = world.store.connect().await.context("the store cannot be looked at")?;
    in_time("a fresh sale is counted", async || {
        store.score("ranking_productos", &product_id).await.map(drop)
    })
    .await?;
    Ok((sale, begun.elapsed()))
}
