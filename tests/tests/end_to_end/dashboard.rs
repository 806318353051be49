//! The live page, its events and the read API show what was counted.

use std::time::Instant;

use http::Method;
use pipeline_tests::{Answer, Client, Events, Pipeline, Store, Wiring, eventually};
use sale::Sale;
use serde_json::{Value, json};
use test_servers::{ValkeyConfig, schemathesis, shared_kafka, start_valkey};

pub(super) async fn get(client: &Client, path: &str) -> Answer {
    client.send(Method::GET, path, &[], "").await.unwrap()
}

pub(super) async fn events(client: &Client) -> Events {
    let events = Events::open(&format!("http://{}/api/v1/events", client.address())).await.unwrap();
    assert_eq!(events.status, 200);
    assert_eq!(events.headers["content-type"], "text/event-stream");
    assert_eq!(events.headers["cache-control"], "no-store");
    events
}

pub(super) fn sale(category: i32, product: &str, price: f64, quantity: i32) -> Vec<u8> {
    Sale { category, product_id: product.into(), price, quantity }.to_json()
}

pub(super) async fn sell(client: &Client, sales: &[Vec<u8>]) {
    for sale in sales {
        let answer = client.post("/purchase", sale.clone()).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
}

async fn counted(client: &Client, sales: u64) {
    eventually("the API shows the sales", async || {
        (get(client, "/api/v1/totals").await.json()["sales"] == sales).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_and_the_events_show_what_was_sold_in_both_wirings() {
    let kafka = shared_kafka();
    for wiring in [Wiring::Chained, Wiring::Fused] {
        let started = Pipeline::with_dead_letters(wiring, &kafka.bootstrap(), "replay").await;
        let pipeline = started.unwrap();
        let client = pipeline.client();
        let mut watched = events(&client).await;
        let empty = watched.next_of("figures").await.unwrap();
        assert_eq!(empty["totals"]["sales"], 0);
        let sales = [sale(1, "tv", 499.99, 2), sale(1, "radio", 20.01, 5), sale(7, "tv", 0.5, 4)];
        // The first one that is counted makes its product the monitored one.
        sell(&client, &sales[..1]).await;
        counted(&client, 1).await;
        sell(&client, &sales[1..]).await;
        counted(&client, 3).await;
        figures(&client).await;
        let state = eventually("the state of the pipeline has the sales", async || {
            let state = get(&client, "/api/v1/pipeline").await.json();
            let is_done = state["consumer"]["records"] == 3 && state["consumer"]["lag"] == 0;
            is_done.then_some(state)
        })
        .await;
        assert_eq!(
            (&state["consumer"]["lag"], &state["rate_window_ms"]),
            (&json!(0), &json!(5_000))
        );
        assert_eq!(state["producer"], json!({"delivered": 3, "queue_full": 0, "failed": 0}));
        let snapshot = get(&client, "/api/v1/snapshot").await.json();
        let mut watched = events(&client).await;
        let mut event = figures_of(&mut watched, 3).await;
        assert!(event["time_ms"].as_i64() > empty["time_ms"].as_i64(), "{event}");
        event.as_object_mut().unwrap().remove("time_ms");
        assert_eq!(event, snapshot, "{wiring:?}");
        // The stream continues when the figures change.
        sell(&client, &[sale(4, "crema", 12.5, 1)]).await;
        let event = figures_of(&mut watched, 4).await;
        let state = watched.next_of("pipeline").await.unwrap();
        assert!(state["consumer"]["records"].as_u64() >= Some(3), "{state}");
        let beat = watched.next_of("unchanged").await.unwrap();
        assert!(beat["time_ms"].as_i64() > event["time_ms"].as_i64(), "{beat}");
        while watched.next().await.unwrap().is_some() {}
        if wiring == Wiring::Fused {
            conforms(&client).await;
        }
        // An open stream does not prevent the host from ending with exit code 0.
        let _open = events(&client).await;
        pipeline.stop().await.unwrap();
    }
}

/// Schemathesis finds no answer that differs from `/openapi.json`.
async fn conforms(client: &Client) {
    let url = format!("http://{}/openapi.json", client.address());
    let test = tokio::task::spawn_blocking(move || {
        let mut command = schemathesis().unwrap();
        // The stream of events is excluded, because each response of it lasts several seconds.
        command.args(["run", &url, "--exclude-path", "/api/v1/events", "--no-color"]);
        command.args(["--seed", "1", "--max-examples", "25", "--generation-database", "none"]);
        // It leaves files in its working directory.
        let folder = tempfile::tempdir().unwrap();
        command.current_dir(&folder);
        command.output().unwrap()
    });
    let output = test.await.unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{report}{}", String::from_utf8_lossy(&output.stderr));
    assert!(report.contains("Tested: 9"), "{report}");
}

/// Calls of the dashboard's script.
async fn reads(store: &Store) -> u128 {
    let stats = store.info("commandstats").await.unwrap();
    let calls =
        stats.split_once("cmdstat_eval_ro:calls=").and_then(|(_, rest)| rest.split_once(','));
    calls.map_or(0, |(calls, _)| calls.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_share_the_reads() {
    const VIEWERS: usize = 200;
    let pipeline = Pipeline::start(Wiring::Fused, &shared_kafka().bootstrap()).await.unwrap();
    let (client, store) = (pipeline.client(), pipeline.store().await.unwrap());
    let mut all = Vec::new();
    for _ in 0..VIEWERS {
        all.push(events(&client).await);
    }
    let (begun, before) = (Instant::now(), reads(&store).await);
    for viewer in &mut all {
        while viewer.next().await.unwrap().is_some() {}
    }
    let intervals = begun.elapsed().as_millis() / 250 + 1;
    let reads = reads(&store).await - before;
    println!("{VIEWERS} viewers: {reads} reads in {intervals} intervals");
    // Each instance reads for its viewers, of which it serves up to 64. While the processors are
    // busy, there are more instances than that requires. If each viewer read for itself, there
    // would be one read for each of them in each interval.
    assert!(reads > 0 && reads < intervals * VIEWERS as u128 / 8, "{reads} in {intervals}");
    pipeline.stop().await.unwrap();
}

/// The event with this many sales: the first one may be from a moment before.
pub(super) async fn figures_of(events: &mut Events, sales: u64) -> Value {
    loop {
        let event = events.next_of("figures").await.unwrap();
        if event["totals"]["sales"] == sales {
            return event;
        }
    }
}

async fn figures(client: &Client) {
    let totals = get(client, "/api/v1/totals").await;
    assert_eq!(totals.header("content-type"), "application/json");
    assert_eq!(
        totals.json(),
        json!({"sales": 3, "units": 11, "revenue": 1102.03, "average_price": 173.5, "price_min": 0.5,
            "price_max": 499.99})
    );
    let categories = get(client, "/api/v1/categories").await.json();
    assert_eq!(
        categories["categories"][0],
        json!({"categoria": 1, "name": "Electronica", "sales": 2, "units": 7, "revenue": 1100.03,
            "price_sum": 520.0, "average_price": 260.0, "average_units": 3.5,
            "monitored_product": "tv"})
    );
    let ranking = get(client, "/api/v1/rankings?limit=1&offset=1").await.json();
    let second = json!([{"rank": 2, "producto_id": "radio", "units": 5}]);
    assert_eq!((&ranking["total"], &ranking["products"]), (&json!(2), &second));
    let ranking = get(client, "/api/v1/rankings?categoria=-3").await.json();
    assert_eq!(ranking["products"], json!([{"rank": 1, "producto_id": "tv", "units": 4}]));
    let product = get(client, "/api/v1/products/tv").await.json();
    assert_eq!((&product["rank"], &product["units"]), (&json!(1), &json!(6)));
    let prices = get(client, "/api/v1/prices?categoria=1").await.json();
    assert_eq!(
        (&prices["producto_id"], &prices["prices"][0]["price"]),
        (&json!("tv"), &json!(499.99))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_validators_and_failures_are_problems() {
    let variables = [("metrics_url", "")];
    let pipeline = Pipeline::with_variables(&shared_kafka().bootstrap(), &variables).await.unwrap();
    let client = pipeline.client();
    for path in ["/", "/assets/main.js", "/openapi.json", "/api/v1/totals", "/api/v1/snapshot"] {
        let whole = get(&client, path).await;
        assert_eq!((whole.status.as_u16(), whole.header("cache-control")), (200, "no-cache"));
        let etag = whole.header("etag").to_owned();
        for (field, status) in [(&etag[..], 304), ("\"other\"", 200), ("*", 304)] {
            let headers = [("if-none-match", field)];
            let again = client.send(Method::GET, path, &headers, "").await.unwrap();
            assert_eq!(again.status, status, "{path}: {field}");
            assert_eq!(again.header("etag"), etag, "{path}");
            assert_eq!(again.body.is_empty(), status == 304, "{path}");
        }
        let head = client.send(Method::HEAD, path, &[], "").await.unwrap();
        assert_eq!((head.status.as_u16(), head.header("etag")), (200, &etag[..]), "{path}");
        assert!(head.body.is_empty(), "{path}");
    }
    let page = get(&client, "/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    let head = client.send(Method::HEAD, "/api/v1/events", &[], "").await.unwrap();
    assert_eq!((head.status.as_u16(), head.header("content-type")), (200, "text/event-stream"));
    for (method, path, status, field) in [
        (Method::GET, "/api/v1/rankings?limit=101", 400, json!("limit")),
        (Method::GET, "/api/v1/rankings?categoria=Ropa", 400, json!("categoria")),
        (Method::GET, "/api/v1/prices", 400, json!("categoria")),
        (Method::GET, "/api/v1/totals?limt=1", 400, json!("limt")),
        (Method::GET, "/api/v1/products/nothing", 404, json!("producto_id")),
        (Method::GET, "/api/v1/pipeline", 404, Value::Null),
        (Method::GET, "/api/v1/pipeline?limit=1", 400, json!("limit")),
        (Method::POST, "/api/v1/pipeline", 405, json!("method")),
        (Method::GET, "/api/v1/dead-letters", 404, Value::Null),
        (Method::GET, "/api/v1/dead-letters?limit=1", 400, json!("limit")),
        (Method::POST, "/api/v1/dead-letters", 405, json!("method")),
        (Method::GET, "/api/v1/sales", 404, Value::Null),
        (Method::GET, "/nothing", 404, Value::Null),
        (Method::POST, "/api/v1/totals", 405, json!("method")),
        (Method::DELETE, "/", 405, json!("method")),
        (Method::POST, "/api/v1/events", 405, json!("method")),
    ] {
        let answer = client.send(method.clone(), path, &[], "").await.unwrap();
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!((&answer.json()["status"], &answer.json()["field"]), (&json!(status), &field));
        assert_eq!(answer.header("allow"), if status == 405 { "GET, HEAD" } else { "" });
    }
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_it_reports_that_and_recovers() {
    let kafka = shared_kafka();
    let mut valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let pipeline =
        Pipeline::with_store(Wiring::Chained, &kafka.bootstrap(), &valkey.url()).await.unwrap();
    let client = pipeline.client();
    sell(&client, &[sale(2, "abrigo", 80.0, 1)]).await;
    counted(&client, 1).await;
    let mut watched = events(&client).await;
    watched.next_of("figures").await.unwrap();
    valkey.kill().await.unwrap();
    let problem = watched.next_of("unavailable").await.unwrap();
    assert_eq!(problem["status"], 503);
    for path in ["/api/v1/totals", "/api/v1/snapshot", "/api/v1/products/abrigo"] {
        let answer = get(&client, path).await;
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{path}");
        assert_eq!(answer.json()["type"], "urn:doorbuster:problem:unavailable", "{path}");
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    }
    assert_eq!(get(&client, "/").await.status, 200);
    assert!(pipeline.log().contains("the figures cannot be read"), "{}", pipeline.log());
    let _valkey = valkey.restart().await.unwrap();
    let figures = eventually("the figures are back", async || {
        events(&client).await.next_of("figures").await.ok()
    })
    .await;
    assert!(figures["totals"]["sales"].is_u64(), "{figures}");
    sell(&client, &[sale(2, "abrigo", 80.0, 1)]).await;
    counted(&client, 2).await;
    pipeline.stop().await.unwrap();
}
