//! Writes pictures of the live page in both themes: `cargo xtask screenshot`.

use std::time::Duration;

use anyhow::{Result, ensure};
use pipeline_tests::{Browser, Client, Pipeline, View, root};
use sale::Sale;

/// The files in `docs/`, and whether each is dark.
const PICTURES: [(&str, bool); 2] = [("live-page-light.png", false), ("live-page-dark.png", true)];

/// Maximum size of a file.
const BYTES_MAX: u64 = 250_000;

/// Clients that send sales, and the pause of each of them between two.
const CLIENTS: u64 = 4;
const PAUSE: Duration = Duration::from_millis(25);

/// How long the page is shown before its picture is taken, so that its charts have content.
const SHOWN: Duration = Duration::from_secs(30);

/// Category, product and price.
const PRODUCTS: [(i32, &str, f64); 10] = [
    (1, "tv-42", 499.99),
    (1, "auriculares-bt", 59.9),
    (1, "portatil-14", 899.0),
    (2, "abrigo-lana", 129.5),
    (2, "zapatillas-run", 84.95),
    (3, "silla-oficina", 149.0),
    (3, "lampara-led", 24.9),
    (4, "crema-sol", 18.75),
    (4, "perfume-50", 64.0),
    (9, "tarjeta-regalo", 25.0),
];

#[tokio::main]
async fn main() -> Result<()> {
    let pipeline = Pipeline::with_own_servers(&[]).await?;
    for client in 0..CLIENTS {
        tokio::spawn(sell(pipeline.client(), client));
    }
    let url = format!("http://{}/", pipeline.client().address());
    for (name, dark) in PICTURES {
        let view = View { width: 1280, height: 1000, dark, language: "en" };
        let mut browser = Browser::open(&url, view).await?;
        tokio::time::sleep(SHOWN).await;
        browser.until("document.getElementById('state').dataset.state === 'live'").await?;
        browser.until("!document.getElementById('pipeline').hidden").await?;
        let file = root().join("docs").join(name);
        browser.screenshot(&file).await?;
        let bytes = std::fs::metadata(&file)?.len();
        ensure!(bytes <= BYTES_MAX, "docs/{name} has {bytes} bytes; the limit is {BYTES_MAX}");
        printing::result(format_args!("docs/{name}: {bytes} bytes"))?;
    }
    pipeline.stop().await
}

/// Sends sales until the program ends.
async fn sell(client: Client, seed: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(seed);
    loop {
        // The first products are sold most often, and prices change by up to a fifth.
        let index = random.usize(..PRODUCTS.len()).min(random.usize(..PRODUCTS.len()));
        let (category, product, price) = PRODUCTS[index];
        let price = (price * (0.8 + 0.2 * random.f64()) * 100.0).round() / 100.0;
        let quantity = random.i32(1..=3);
        let sale = Sale { category, product_id: product.into(), price, quantity };
        client.post("/purchase", sale.to_json()).await?;
        tokio::time::sleep(PAUSE).await;
    }
}
