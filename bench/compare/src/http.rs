//! A client for single sales.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use sale::Sale;

/// Maximum time for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Sends sales to one server. Clones share their connections.
#[derive(Clone)]
pub struct Client {
    client: reqwest::Client,
    url: String,
}

impl Client {
    /// A client that has no connection yet.
    pub fn new(address: SocketAddr) -> Self {
        Self { client: reqwest::Client::new(), url: format!("http://{address}/purchase") }
    }

    /// Sends a sale of this product, and waits until it is accepted.
    pub async fn sell(&self, product: &str) -> Result<()> {
        let sale = Sale { category: 1, product_id: product.to_owned(), price: 1.5, quantity: 1 };
        let request = self.client.post(&self.url).timeout(ANSWER_LIMIT).body(sale.to_json());
        let request = request.header("content-type", "application/json");
        let answer = request.send().await.context("a single sale")?;
        let status = answer.status();
        let body = answer.text().await.context("a single sale")?;
        ensure!(status == 200, "a single sale was answered with {status}: {body}");
        Ok(())
    }
}
