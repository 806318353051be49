//! The pipeline in Spin: every sale is counted once, and both triggers end together.

use std::path::Path;

use anyhow::{Result, ensure};
use clap::Parser;
use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use pipeline_tests::{Client, eventually};
use test_servers::{Kafka, ValkeyConfig, WAIT_LIMIT, free_port, start_valkey};

use crate::hosts::Application;
use crate::spin::Spin;

#[derive(Parser)]
struct Load {
    #[command(flatten)]
    args: load::Args,
}

/// Runs the application, sends this number of sales over this number of connections, and stops it.
pub async fn check(
    spin: &Spin,
    kafka: &Kafka,
    from: &Path,
    sales: u64,
    connections: usize,
) -> Result<()> {
    let valkey = start_valkey(ValkeyConfig::default()).await?;
    ensure_topic(&ProducerConfig::new(kafka.bootstrap()), NewTopic::new("sales-topic", 3)).await?;
    let port = free_port()?;
    let app = Application { name: "pipeline", manifest: from, variables: &[], profile: None };
    let up = spin.up(&app, port, kafka, &valkey)?;
    let client = Client::new(&format!("http://127.0.0.1:{port}"));
    eventually("spin up serves", async || client.post("/purchase", "{}").await.ok()).await;

    let dir = tempfile::tempdir()?;
    let ledger = dir.path().join("ledger.ndjson");
    let url = format!("http://127.0.0.1:{port}/purchase");
    let (sales, connections) = (sales.to_string(), connections.to_string());
    let load = Load::parse_from([
        "load",
        "--url",
        &url,
        "-n",
        &sales,
        "-c",
        &connections,
        "--quiet",
        "--ledger",
        &ledger.to_string_lossy(),
    ]);
    let summary = load::run(load.args, load::Stop::never()).await?;
    println!("{summary}");
    let books = ledger::verify::verify(&ledger, &valkey.url(), "", WAIT_LIMIT).await?;
    ensure!(books.agrees(), "accepted and counted differ: {books:?}");
    println!("{} accepted, {} counted", books.counted, books.counted);
    ensure!(summary.all_accepted(), "some sales were not accepted");

    // The HTTP trigger fails because its port is in use, which must end the Kafka trigger, too.
    let plugins = spin.plugins().len();
    let status = spin.up(&app, port, kafka, &valkey)?.ended().await?;
    ensure!(!status.success(), "a second spin up on the same port succeeded");
    eventually("only the first plugin runs", async || {
        (spin.plugins().len() == plugins).then_some(())
    })
    .await;
    println!("a Kafka trigger ends with the HTTP trigger beside it");

    up.interrupt().await?;
    eventually("both triggers have ended", async || spin.plugins().is_empty().then_some(())).await;
    println!("Ctrl-C ended both triggers");
    Ok(())
}
