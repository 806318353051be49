//! The memory of instances that have served sales and are idle.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use component_host::http::Server;
use component_host::{Host, Limits};
use futures::future::{pending, try_join_all};
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use reqwest::Client;
use sale::Sale;

use crate::resident_kib;

/// Connections, and instances at most: each instance serves one request at a time.
const CONNECTIONS: u32 = 200;

/// How often a sale is sent on all connections at once.
const BURSTS: u32 = 5;

/// At most this number of instances would say little about one of them.
const INSTANCES_MIN: u64 = 50;

/// An idle instance is kept for longer than the measurement takes.
const KEPT: Duration = Duration::from_secs(600);

/// Maximum time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Limits with which requests at the same time need as many instances.
pub fn limits() -> Limits {
    Limits {
        requests_at_once_per_instance_max: 1,
        idle_instance_timeout: KEPT,
        ..Limits::default()
    }
}

/// The difference between many instances and few, divided by their number. The connections are the
/// same: at first, they send one sale after the other, which few instances serve.
pub async fn memory_kib(host: &Host) -> Result<f64> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let server = Server::bind(address, host.services(), Arc::new(limits())).await?;
    let url = format!("http://{}/purchase", server.address());
    let serving = tokio::spawn(server.run(Box::pin(pending()), Duration::ZERO));
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| Client::new()).collect();
    for client in &clients {
        sell(client, &url).await?;
    }
    let (few, before) = (instances(host)?, resident_kib()?);
    for _ in 0..BURSTS {
        try_join_all(clients.iter().map(|client| sell(client, &url))).await?;
    }
    let (many, after) = (instances(host)?, resident_kib()?);
    serving.abort();
    ensure!(many >= few + INSTANCES_MIN, "there were only {few} and {many} instances");
    Ok((after - before) / (many - few) as f64)
}

async fn sell(client: &Client, url: &str) -> Result<()> {
    let sale = Sale { category: 1, product_id: "bench".into(), price: 1.5, quantity: 1 };
    let request = client.post(url).timeout(ANSWER_LIMIT).body(sale.to_json());
    let answer = request.header("content-type", "application/json").send().await?;
    let status = answer.status();
    // The connection is used again only after the whole answer was read.
    let body = answer.text().await?;
    ensure!(status == 200, "a sale was answered with {status}: {body}");
    Ok(())
}

/// The number of instances, from the host's metrics.
fn instances(host: &Host) -> Result<u64> {
    let (mut registry, mut text) = (Registry::default(), String::new());
    host.services().register(&mut registry);
    text::encode(&mut text, &registry)?;
    let own = metrics_text::lines(&text).filter(|line| line.name == "spin_http_instances");
    let counts = own.map(|line| Ok(line.sample()?.count())).collect::<Result<Vec<u64>>>()?;
    ensure!(!counts.is_empty(), "the host has no metric of its instances");
    Ok(counts.iter().sum())
}
