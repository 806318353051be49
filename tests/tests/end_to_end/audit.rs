//! `doorbuster audit`, `verify`, `why` and `shadow` on a running pipeline.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;

use pipeline_tests::{Pipeline, Wiring, doorbuster, eventually, root};
use tempfile::NamedTempFile;
use test_servers::{ValkeyConfig, free_port, shared_kafka, start_valkey, valkey_program};
use tokio::process::{Child, Command};

use crate::metrics::{listed, served};

const SALES: u32 = 60;

/// A command of the program that finds Valkey on its PATH.
pub(super) fn with_valkey() -> Command {
    let mut command = doorbuster();
    let program = valkey_program().unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(program.parent().map(Path::to_owned));
    command.env("PATH", std::env::join_paths(folders).unwrap());
    command
}

/// An address for the operator port of an audit.
pub(super) fn operator() -> SocketAddr {
    ([127, 0, 0, 1], free_port().unwrap()).into()
}

/// A pipeline that has counted some sales.
struct Counted(Pipeline);

impl Counted {
    async fn start() -> Self {
        let counted = Self::empty().await;
        counted.sell(0..SALES).await;
        counted
    }

    /// The same before it has counted anything.
    async fn empty() -> Self {
        let pipeline = Pipeline::start(Wiring::Fused, &shared_kafka().bootstrap()).await.unwrap();
        let counted = Self(pipeline);
        // The application's store is only read.
        let rights = ["%R~*", "+@read", "+@connection", "-@admin", "+@transaction", "+info"];
        let user = [&["ACL", "SETUSER", "auditor", "on", ">secret"], &rights[..]].concat();
        counted.0.store().await.unwrap().command(&user).await.unwrap();
        counted
    }

    /// The URL of Valkey for a user who may only read.
    fn url(&self) -> String {
        self.0.valkey_url().replace("redis://", "redis://auditor:secret@")
    }

    /// Sends sales, every tenth of them twice, and waits until they are counted.
    async fn sell(&self, numbers: std::ops::Range<u32>) {
        let (client, end) = (self.0.client(), numbers.end);
        for number in numbers {
            let sale = format!(
                r#"{{"categoria":{},"producto_id":"p{}","precio":{}.5,"cantidad_vendida":2}}"#,
                number % 5 + 1,
                number % 7,
                number % 13
            );
            let key = format!("key-{number}");
            for _ in 0..if number % 10 == 0 { 2 } else { 1 } {
                let headers =
                    [("content-type", "application/json"), ("idempotency-key", key.as_str())];
                let sent = client.send(http::Method::POST, "/purchase", &headers, sale.clone());
                assert_eq!(sent.await.unwrap().status, 200, "{}", self.0.log());
            }
        }
        let store = self.0.store().await.unwrap();
        eventually("the sales are counted", async || {
            (store.total().await == u64::from(end)).then_some(())
        })
        .await;
    }

    /// A command of the program for the pipeline's aggregator.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = with_valkey();
        let (topic, group) = (&self.0.topic, format!("kafka_group=group-{}", self.0.topic));
        command.args(words).args(["--from", Wiring::Fused.manifest()]);
        command.args(["--kafka", &shared_kafka().bootstrap(), "--valkey", &self.url()]);
        command.args(["--variable", &format!("kafka_topic={topic}"), "--variable", &group]);
        command
    }

    /// Runs a command. Returns the exit code and the output.
    async fn run(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.command(words).output().await.unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text.into_owned())
    }
}

/// An audit that runs.
pub(super) struct Audit {
    child: Child,
    log: NamedTempFile,
    address: SocketAddr,
}

impl Audit {
    async fn start(counted: &Counted, words: &[&str]) -> Self {
        let address = operator();
        let operator = address.to_string();
        let mut command = counted.command(&["audit", "--interval", "1", "--operator", &operator]);
        command.args(words);
        Self::spawn(command, address)
    }

    /// Starts a command with this operator port.
    pub(super) fn spawn(mut command: Command, address: SocketAddr) -> Self {
        let log = NamedTempFile::new().unwrap();
        command.stdout(Stdio::null()).stderr(log.reopen().unwrap());
        Self { child: command.spawn().unwrap(), log, address }
    }

    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    async fn metrics(&self) -> Option<String> {
        let answer = reqwest::get(format!("http://{}/metrics", self.address)).await.ok()?;
        answer.text().await.ok()
    }

    /// The sum of the samples of a metric; `None` if there are none.
    pub(super) async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.metrics().await?;
        let samples = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
        });
        let values: Vec<f64> =
            samples.map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    pub(super) async fn until(&self, metric: &str, what: impl Fn(f64) -> bool) {
        let log = async || self.metric(metric).await.filter(|value| what(*value)).map(drop);
        eventually(&format!("{metric}: {}", self.log()), log).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_that_was_changed_by_hand_is_found_and_explained() {
    let counted = Counted::empty().await;
    // Without records there is nothing to compare, and the audit is not out of date.
    let early = Audit::start(&counted, &[]).await;
    early.until("doorbuster_audit_last_pass_seconds", |time| time > 0.0).await;
    drop(early);
    counted.sell(0..SALES).await;
    let (store, topic) = (counted.0.store().await.unwrap(), &counted.0.topic);
    let (code, text) = counted.run(&["verify"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("differences   0\nThe counts agree."), "{text}");

    let audit = Audit::start(&counted, &[]).await;
    audit.until("doorbuster_audit_last_pass_seconds", |time| time > 0.0).await;
    assert_eq!(audit.metric("doorbuster_audit_difference").await, Some(0.0), "{}", audit.log());
    let page = std::fs::read_to_string(root().join("docs/guide/audit.md")).unwrap();
    let mut metrics = served(&audit.metrics().await.unwrap());
    metrics.remove("process_start_time_seconds").expect("metrics.md lists it");
    assert_eq!(metrics, listed(&page), "audit.md");
    // The pipeline counts while the audit compares.
    counted.sell(SALES..SALES + 20).await;
    store.command(&["INCRBY", "contador:Electronica", "1"]).await.unwrap();
    audit.until("doorbuster_audit_difference", |places| places > 0.0).await;
    let log = audit.log();
    let line = log.lines().find(|line| line.contains("a count differs from the log")).unwrap();
    for part in ["contador:Electronica", &format!("{topic}/"), ".."] {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert_eq!(audit.metric("doorbuster_audit_differences").await, Some(1.0), "{log}");

    let (code, text) = counted.run(&["why", "contador:Electronica", "--limit", "2"]).await;
    assert_eq!(code, Some(1), "{text}");
    let counts = "Valkey contains 17, but counted again it is 16.";
    assert!(text.contains(counts) && text.contains("aggregator.wasm sha256:"), "{text}");
    let (code, text) = counted.run(&["verify"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("  contador:Electronica: expected 16, found 17\n"), "{text}");

    store.command(&["DECRBY", "contador:Electronica", "1"]).await.unwrap();
    audit.until("doorbuster_audit_difference", |places| places == 0.0).await;
    // A value in a hash, and one that does not exist in the recount.
    store.command(&["HSET", "ingresos:Electronica", "total", "1"]).await.unwrap();
    store.command(&["ZADD", "ranking_productos", "1", "by-hand"]).await.unwrap();
    audit.until("doorbuster_audit_differences", |places| places == 2.0).await;
    let log = audit.log();
    for place in ["ingresos:Electronica total", "ranking_productos (number of elements)"] {
        assert!(log.contains(place), "{place}: {log}");
    }

    // What is stored at present is assumed to be right, but not later changes.
    let present = Audit::start(&counted, &["--from-present"]).await;
    present.until("doorbuster_audit_last_pass_seconds", |time| time > 0.0).await;
    assert_eq!(present.metric("doorbuster_audit_difference").await, Some(0.0), "{}", present.log());
    counted.sell(SALES + 20..SALES + 21).await;
    store.command(&["SET", "total_ventas", "1"]).await.unwrap();
    present.until("doorbuster_audit_differences", |places| places == 1.0).await;
    assert!(present.log().contains("total_ventas"), "{}", present.log());

    // The store lost everything and is built again from the log. The next batch of each partition
    // detects that.
    store.flush().await.unwrap();
    counted.sell(SALES + 21..SALES + 50).await;
    audit.until("doorbuster_audit_differences", |places| places == 0.0).await;
    assert!(audit.log().contains("the count is equal again"), "{}", audit.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_build_counts_is_compared_before_it_runs() {
    let counted = Counted::start().await;
    let path = |name: &str| root().join("target/components").join(name).display().to_string();
    let (code, text) = counted.run(&["shadow", &path("aggregator.wasm")]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("present build  66 records") && text.contains("differences    0"),
        "{text}"
    );
    // It counts words, and no sales.
    let (code, text) = counted.run(&["shadow", &path("word_count.wasm"), "--last", "10"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("contador:"), "{text}");
    assert!(text.contains(", with the new build nothing\n"), "{text}");
    let (code, text) = counted.run(&["shadow", "missing.wasm"]).await;
    assert_eq!(code, Some(2), "{text}");
    // Nothing was written to the application's store.
    assert_eq!(counted.0.store().await.unwrap().total().await, u64::from(SALES));

    let mut private = start_valkey(ValkeyConfig::default()).await.unwrap();
    let why = ["why", "total_ventas", "--private-valkey"];
    let (code, text) = counted.run(&[&why[..], &[&private.url()]].concat()).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Valkey contains 60, as counted again."), "{text}");
    let (code, text) = counted.run(&[&why[..], &[counted.0.valkey_url()]].concat()).await;
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("the private store is the application's Valkey"), "{text}");
    assert_eq!(counted.0.store().await.unwrap().total().await, u64::from(SALES));

    // What was counted in a private store that ends is lost, so the audit ends.
    let mut audit = Audit::start(&counted, &["--private-valkey", &private.url()]).await;
    audit.until("doorbuster_audit_last_pass_seconds", |time| time > 0.0).await;
    private.kill().await.unwrap();
    assert_eq!(audit.child.wait().await.unwrap().code(), Some(1), "{}", audit.log());
    assert!(audit.log().contains("the private store has ended"), "{}", audit.log());
}
