//! `locust --headless` with the pipeline: every request is accepted, and the count agrees.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use pipeline_tests::{Pipeline, Wiring, eventually, root};
use test_servers::{home, shared_kafka};
use tokio::process::Command;

async fn run(program: &Path, args: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(args)
        .current_dir(root().join("locust"))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    ensure!(output.status.success(), "{} {args:?}: {}\n{text}", program.display(), output.status);
    Ok(text)
}

/// Locust in a virtual environment, which is installed once.
async fn locust() -> Result<std::path::PathBuf> {
    std::fs::create_dir_all(home())?;
    let venv = home().canonicalize()?.join("locust");
    let locust = venv.join("bin/locust");
    if !locust.exists() {
        let text = venv.to_string_lossy().into_owned();
        run(Path::new("python3"), &["-m", "venv", &text]).await?;
        run(&venv.join("bin/pip"), &["install", "--quiet", "-r", "requirements.txt"]).await?;
    }
    Ok(locust)
}

/// The number of requests in Locust's last line: `Aggregated  1234  0(0.00%) | …`.
fn requests(report: &str) -> Option<u64> {
    let line = report
        .lines()
        .rfind(|line| line.trim_start().starts_with("Aggregated") && line.contains('('))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn locust_headless_sells_and_every_sale_is_counted() {
    let locust = locust().await.unwrap();
    let kafka = shared_kafka();
    let pipeline = Pipeline::start(Wiring::Fused, &kafka.bootstrap()).await.unwrap();
    let host = pipeline.purchase_url().replace("/purchase", "/");
    let args = ["--headless", "--host", &host, "--users", "20", "--spawn-rate", "20"];
    let rest = ["--run-time", "20s", "--stop-timeout", "20", "--percentages", "ropa=30,belleza=70"];
    let report = run(&locust, &[args.as_slice(), &rest].concat()).await.unwrap();
    let sent = requests(&report).expect(&report);
    assert!(sent > 100, "{report}");
    let store = pipeline.store().await.unwrap();
    eventually("all are counted", async || (store.total().await >= sent).then_some(())).await;
    assert_eq!(store.total().await, sent, "{report}");
    assert_eq!(store.get("contador:Hogar").await, None, "only the requested categories");
    pipeline.stop().await.unwrap();
}
