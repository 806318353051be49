//! `/metrics` of a running pipeline: the numbers, the page that lists the metrics, `doorbuster
//! top`, and the dashboard and alerts, evaluated by a real Prometheus.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use metrics_text::{Family, families};
use nix::sys::signal::Signal;
use pipeline_tests::{Launch, Pipeline, Wiring, eventually, in_time, root};
use serde_json::Value;
use test_servers::{Prometheus, Valkey, ValkeyConfig, free_port, shared_kafka, start_valkey};

use crate::top;

const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":9.99,"cantidad_vendida":1}"#;

/// The beginning of the names of metrics that only an application with Redis triggers has.
pub(super) const OF_REDIS: &str = "spin_redis_";

/// A chained pipeline with an operator port.
struct Operated {
    pipeline: Pipeline,
    operator: String,
    _valkey: Valkey,
}

impl Operated {
    async fn start(topic: &str) -> Self {
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        let operator = format!("127.0.0.1:{}", free_port().unwrap());
        let manifest = Wiring::Chained.manifest();
        let mut launch = Launch::new(manifest, shared_kafka().bootstrap(), valkey.url(), topic)
            .variable("kafka_topic", topic)
            .variable("kafka_group", topic);
        launch.envs.push(("DOORBUSTER_OPERATOR".into(), operator.clone()));
        let pipeline = Pipeline::launch(&launch).await.unwrap();
        Self { pipeline, operator, _valkey: valkey }
    }

    async fn metrics(&self) -> String {
        let answer = reqwest::get(format!("http://{}/metrics", self.operator)).await.unwrap();
        answer.text().await.unwrap()
    }

    /// Sends a sale and waits until it is counted.
    async fn count_a_sale(&self) {
        let answer = self.pipeline.client().post("/purchase", SALE).await.unwrap();
        assert_eq!(answer.status, 200, "{}", self.pipeline.log());
        let counted = r#"spin_kafka_records_total{component="aggregator"} 1"#;
        eventually("the sale is counted", async || {
            self.metrics().await.lines().any(|line| line == counted).then_some(())
        })
        .await;
    }
}

#[track_caller]
fn assert_lines(metrics: &str, lines: &[&str]) {
    for line in lines {
        assert!(metrics.lines().any(|found| found == *line), "`{line}` is not in:\n{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_every_request_and_record() {
    let operated = Operated::start("sales-that-operators-see").await;
    operated.count_a_sale().await;
    let client = operated.pipeline.client();
    assert_eq!(client.post("/purchase", "{}").await.unwrap().status, 400);
    let allowed = client.send(Method::GET, "/purchase", &[], "").await.unwrap();
    assert_eq!(allowed.status, 405);
    // The length of the chunk is not a number, so the host answers for the component.
    let broken = "POST /purchase HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
                  transfer-encoding: chunked\r\n\r\nzz\r\n";
    let answer = client.raw(broken.as_bytes(), false).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // A request without `Host` has no component.
    let answer =
        client.raw(b"GET /purchase HTTP/1.1\r\nconnection: close\r\n\r\n", false).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let health = client.send(Method::GET, "/.well-known/spin/health", &[], "").await.unwrap();
    assert_eq!(health.status, 200);
    let metrics = operated.metrics().await;
    assert_lines(
        &metrics,
        &[
            r#"spin_http_requests_total{component="ingest",code="200"} 1"#,
            r#"spin_http_requests_total{component="ingest",code="400"} 2"#,
            r#"spin_http_requests_total{component="ingest",code="405"} 1"#,
            r#"spin_http_request_duration_seconds_count{component="ingest"} 4"#,
            r#"spin_http_request_duration_seconds_bucket{le="+Inf",component="ingest"} 4"#,
            r#"spin_http_refusals_total{component="ingest",problem="invalid"} 1"#,
            r#"spin_http_refusals_total{component="ingest",problem="busy"} 0"#,
            r#"spin_http_requests_waiting{component="ingest"} 0"#,
            r#"spin_http_abandoned_requests_total{component="ingest"} 0"#,
            // The calls between the components.
            r#"spin_http_requests_total{component="bridge",code="200"} 1"#,
            r#"spin_http_requests_total{component="writer",code="200"} 1"#,
            r#"spin_http_unrouted_requests_total{problem="invalid"} 1"#,
            r#"spin_http_unrouted_requests_total{problem="not-found"} 0"#,
            "kafka_producer_records_total 1",
            "kafka_producer_delivered_total 1",
        ],
    );
    assert!(!metrics.contains(r#"spin_http_requests_total{component="dashboard""#), "{metrics}");
    // Other builds of the components continue the counters.
    operated.pipeline.signal(Signal::SIGHUP).unwrap();
    eventually("the components are replaced", async || {
        operated.pipeline.log().contains("new builds of the components are running").then_some(())
    })
    .await;
    assert_eq!(client.post("/purchase", SALE).await.unwrap().status, 200);
    assert_lines(
        &operated.metrics().await,
        &[r#"spin_http_requests_total{component="ingest",code="200"} 2"#],
    );
    operated.pipeline.stop().await.unwrap();
}

/// A metric without its values: its type and its labels.
pub(super) type Shape = (String, BTreeSet<String>);

/// The metrics in an answer of `/metrics`, by name. The name of a counter ends in `_total`.
pub(super) fn served(text: &str) -> BTreeMap<String, Shape> {
    let families = families(text).unwrap().into_iter();
    let metrics = families.map(|Family { name, kind, samples, .. }| {
        let suffix = if kind == "counter" { "_total" } else { "" };
        let labels = samples.iter().flat_map(|(_, sample)| sample.labels());
        let labels = labels.map(|(label, _)| label).filter(|label| *label != "le");
        (format!("{name}{suffix}"), (kind.to_owned(), labels.map(str::to_owned).collect()))
    });
    metrics.collect()
}

/// The metrics that a page lists.
pub(super) fn listed(page: &str) -> BTreeMap<String, Shape> {
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|row| row.split('|').map(str::trim).collect());
    // Other tables have fewer columns.
    let rows = rows.filter(|cells: &Vec<&str>| cells.len() == 7).map(|cells| {
        let name = cells[1].trim_matches('`').to_owned();
        assert_eq!(cells[3] == "seconds", name.ends_with("_seconds"), "the unit of {name}");
        assert!(!cells[5].is_empty(), "the meaning of {name}");
        let labels = cells[4].split(", ").map(|label| label.trim_matches('`'));
        let labels = labels.filter(|label| !label.is_empty()).map(str::to_owned).collect();
        (name, (cells[2].to_owned(), labels))
    });
    rows.collect()
}

/// The metrics that the page about the metrics of a process lists.
pub(super) fn listed_in_metrics_md() -> BTreeMap<String, Shape> {
    listed(&std::fs::read_to_string(root().join("docs/reference/metrics.md")).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reads_the_metrics_finds_what_is_served() {
    let operated = Operated::start("sales-for-prometheus").await;
    operated.count_a_sale().await;
    top::shows_one_sale(&operated.pipeline, &operated.operator).await;
    let mut listed = listed_in_metrics_md();
    listed.retain(|name, _| !name.starts_with(OF_REDIS));
    assert_eq!(served(&operated.metrics().await), listed, "metrics.md");
    // The labels are those of a pod on Kubernetes.
    let labels = [("namespace", "black-friday"), ("pod", "doorbuster-0")];
    let prometheus = Prometheus::start(&operated.operator, &labels).await.unwrap();
    for (panel, query) in panels() {
        let found = in_time(&panel, async || {
            // The sale is sent again, because rates need requests between two readings.
            operated.pipeline.client().post("/purchase", SALE).await.unwrap();
            let result = evaluate(&prometheus, &query).await;
            (!result.as_array().unwrap().is_empty()).then_some(())
        });
        found.await.unwrap_or_else(|late| panic!("no data for `{query}`: {late}"));
    }
    for (alert, expression) in alerts() {
        let firing = evaluate(&prometheus, &expression).await;
        assert_eq!(firing, Value::Array(Vec::new()), "{alert}");
    }
    prometheus.stop().await.unwrap();
    let Operated { pipeline, operator, _valkey } = operated;
    let app = pipeline.client().address().to_owned();
    pipeline.stop().await.unwrap();
    top::shows_the_end(&app, &operator).await;
}

/// The result of a query. Fails if Prometheus refuses it.
async fn evaluate(prometheus: &Prometheus, query: &str) -> Value {
    let mut url = reqwest::Url::parse(&prometheus.url()).unwrap().join("api/v1/query").unwrap();
    url.query_pairs_mut().append_pair("query", query);
    let mut answer: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    assert_eq!(answer["status"], "success", "{query}: {answer}");
    answer["data"]["result"].take()
}

/// The queries of the dashboard with the titles of their panels, as Grafana sends them.
fn panels() -> Vec<(String, String)> {
    let path = root().join("k8s/components/monitoring/pipeline.json");
    let board: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut queries = Vec::new();
    for panel in board["panels"].as_array().unwrap().iter().filter(|p| p["type"] != "row") {
        for target in panel["targets"].as_array().unwrap() {
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$namespace", ".*").replace("$__rate_interval", "10s");
            queries.push((panel["title"].as_str().unwrap().to_owned(), query));
        }
    }
    assert!(queries.len() > 20, "{queries:?}");
    queries
}

/// The alerts with their expressions.
fn alerts() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join("k8s/components/monitoring/alerts.yaml"));
    let rule: Value = serde_saphyr::from_str(&text.unwrap()).unwrap();
    let groups = rule["spec"]["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let text = |rule: &Value, field: &str| rule[field].as_str().unwrap().to_owned();
    rules.map(|rule| (text(rule, "alert"), text(rule, "expr"))).collect()
}
