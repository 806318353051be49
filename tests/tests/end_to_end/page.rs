//! The live page in a real browser: it shows what was counted, reports failures, and recovers.

use std::time::{Duration, Instant};

use http::Method;
use pipeline_tests::{
    Browser, Client, MetricsAnswer, MetricsSource, Pipeline, Store, View, Wiring, eventually, root,
};
use sale::Sale;
use serde_json::{Value, json};
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

use super::letters::{SALE, write};

const DESKTOP: View = View { width: 1280, height: 1160, dark: false, language: "en" };

/// Every view of the page, and the name of its picture.
const VIEWS: [(&str, View); 4] = [
    ("desktop-light", DESKTOP),
    ("desktop-dark", View { dark: true, ..DESKTOP }),
    ("phone-light", View { width: 390, height: 844, dark: false, language: "es" }),
    ("phone-dark", View { width: 390, height: 844, dark: true, language: "es" }),
];

const PRODUCTS: [&str; 7] =
    ["tv-42", "radio", "lámpara", "abrigo", "crema", "silla", "zapatillas-run"];

/// Sales in each category, of changing products, prices and units.
async fn sell(client: &Client, sales: i32) {
    let sales = (0..sales).map(|n| {
        let product_id = PRODUCTS[(n % 7) as usize].to_owned();
        Sale { category: n % 5, product_id, price: 20.25 + f64::from(n % 13), quantity: 1 + n % 3 }
    });
    let body = serde_json::to_vec(&sales.collect::<Vec<_>>()).unwrap();
    let answer = client.post("/purchases", body).await.unwrap();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn is(id: &str, text: &str) -> String {
    format!("document.getElementById('{id}').textContent === '{text}'")
}

fn state(name: &str) -> String {
    format!("document.getElementById('state').dataset.state === '{name}'")
}

fn health(name: &str) -> String {
    format!("document.getElementById('pipeline-state').dataset.health === '{name}'")
}

/// The figure of a hop.
fn hop_is(hop: &str, text: &str) -> String {
    format!("document.querySelector('[data-hop={hop}] .figure').textContent === '{text}'")
}

/// The texts of a part of each time that the form shows.
fn hop_times(part: &str) -> String {
    format!(
        "Array.from(document.querySelectorAll('#hop-times:not([hidden]) .{part}'), \
         (element) => element.textContent)"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_is_counted_and_sends_a_sale() {
    let brokers = shared_kafka().bootstrap();
    let started = Pipeline::with_dead_letters(Wiring::Chained, &brokers, "replay").await;
    let pipeline = started.unwrap();
    let client = pipeline.client();
    let url = format!("http://{}/", client.address());
    let mut browser = Browser::open(&url, DESKTOP).await.unwrap();
    browser.until(&state("live")).await.unwrap();
    browser.until(&is("sales", "0")).await.unwrap();
    browser.until("!document.getElementById('empty').hidden").await.unwrap();
    send_with_form(&mut browser).await;
    browser.until(&is("sales", "1")).await.unwrap();
    let trace =
        "/^[0-9a-f]{32}$/.test(document.querySelector('#outcome .trace strong').textContent)";
    assert_eq!(browser.evaluate(trace).await.unwrap(), true);
    let hops = browser.evaluate(&hop_times("name")).await.unwrap();
    assert_eq!(hops, json!(["ingest", "bridge", "writer", "kafka"]));
    let are_times =
        format!(r"{}.every((time) => /^\d+(\.\d)? ms$/.test(time))", hop_times("units"));
    assert_eq!(browser.evaluate(&are_times).await.unwrap(), true);
    browser.until("document.querySelector('[data-hop=aggregator]') !== null").await.unwrap();
    browser.until(&health("healthy")).await.unwrap();
    sell(&client, 999).await;
    browser.until(&is("sales", "1,000")).await.unwrap();
    let categories = client.send(Method::GET, "/api/v1/categories", &[], "").await.unwrap().json();
    for (index, category) in categories["categories"].as_array().unwrap().iter().enumerate() {
        let cells = format!(
            "Array.from(document.getElementById('categories').rows[{index}].cells, \
             (cell) => cell.textContent).slice(1, 3).join(' ')"
        );
        let expected = format!("{} {}", category["sales"], category["units"]);
        assert_eq!(browser.evaluate(&cells).await.unwrap(), expected, "{category}");
    }
    revenues(&mut browser, &client, &pipeline.store().await.unwrap()).await;
    let first = "document.querySelector('#ranking .name').textContent";
    let ranking = client.send(Method::GET, "/api/v1/rankings", &[], "").await.unwrap().json();
    assert_eq!(browser.evaluate(first).await.unwrap(), ranking["products"][0]["producto_id"]);
    send_letters_back(&mut browser, &brokers, &pipeline.topic).await;
    browser.evaluate("document.querySelector('[data-language=es]').click()").await.unwrap();
    browser.until(&is("categories-title", "Categorías")).await.unwrap();
    assert_eq!(browser.evaluate("document.documentElement.lang").await.unwrap(), "es");
    assert_eq!(browser.problems(), [""; 0]);
    take_pictures(&url).await;
    pipeline.stop().await.unwrap();
    browser.until(&state("lost")).await.unwrap();
    browser.until("!document.getElementById('notice').hidden").await.unwrap();
}

/// Checks the revenues, and that one is missing if it is not known for all sales of its category.
async fn revenues(browser: &mut Browser, client: &Client, store: &Store) {
    let cell = "document.getElementById('categories').rows[1].cells[6]";
    let is = |element: &str, amount: &Value| {
        format!("Number({element}.textContent.replaceAll(',', '')) === {amount}")
    };
    let snapshot = client.send(Method::GET, "/api/v1/snapshot", &[], "").await.unwrap().json();
    let total = is("document.getElementById('revenue')", &snapshot["totals"]["revenue"]);
    browser.until(&total).await.unwrap();
    browser.until(&is(cell, &snapshot["categories"][1]["revenue"])).await.unwrap();
    let hint = "document.getElementById('revenue-hint').hidden";
    assert_eq!(browser.evaluate(hint).await.unwrap(), true);
    // As if an earlier version had counted one sale of the category.
    store.command(&["HINCRBY", "ingresos:Ropa", "ventas", "-1"]).await.unwrap();
    browser.until(&format!("{cell}.textContent === '–' && !{hint}")).await.unwrap();
    assert_eq!(
        browser.evaluate("document.getElementById('revenue').textContent").await.unwrap(),
        "–"
    );
    store.command(&["HINCRBY", "ingresos:Ropa", "ventas", "1"]).await.unwrap();
    browser.until(&format!("{hint} && {total}")).await.unwrap();
}

/// A record that is not a sale becomes a letter on the page. The letters are sent back: one is
/// counted, the other one is rejected again.
async fn send_letters_back(browser: &mut Browser, brokers: &str, topic: &str) {
    browser.until(&is("letters-count", "0 open, 0 in all")).await.unwrap();
    let sale = SALE.replace("\"tv\"", "\"tv-42\"");
    let place = [("__connect.errors.topic", topic)];
    write(brokers, &format!("{topic}.dead-letter"), &sale, &place).await;
    write(brokers, topic, "<b>no sale</b>", &[]).await;
    browser.until(&is("letters-count", "2 open, 2 in all")).await.unwrap();
    let cells = "Array.from(document.getElementById('letters-rows').rows[0].cells, \
                 (cell) => cell.textContent)";
    let cells = browser.evaluate(cells).await.unwrap();
    assert!(cells[1].as_str().unwrap().starts_with(&format!("{topic}/")), "{cells}");
    assert!(cells[2].as_str().unwrap().starts_with("rejected: "), "{cells}");
    assert_eq!((&cells[3], &cells[4]), (&json!("tv"), &json!("<b>no sale</b>")));
    browser.evaluate("window.confirm = () => false").await.unwrap();
    browser.evaluate("document.getElementById('letters-replay').click()").await.unwrap();
    browser.until(&is("letters-outcome", "")).await.unwrap();
    browser.evaluate("window.confirm = () => true").await.unwrap();
    browser.evaluate("document.getElementById('letters-replay').click()").await.unwrap();
    let outcome = "Letters sent back to their topics: 2.";
    browser.until(&is("letters-outcome", outcome)).await.unwrap();
    browser.until(&is("sales", "1,001")).await.unwrap();
    browser.until(&is("letters-count", "1 open, 3 in all")).await.unwrap();
}

/// Sends a sale with the form, and waits until the page shows that it is counted.
async fn send_with_form(browser: &mut Browser) {
    browser.evaluate("document.querySelector('#sell button').click()").await.unwrap();
    browser.until("document.querySelectorAll('#outcome .good').length === 2").await.unwrap();
}

/// Sends a sale in every view and takes a picture of it. Checks that none is wider than its window,
/// and that axe-core finds no error.
async fn take_pictures(url: &str) {
    let folder = root().join("target/page");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, view) in VIEWS {
        let mut browser = Browser::open(url, view).await.unwrap();
        browser.until(&state("live")).await.unwrap();
        browser.until("document.querySelectorAll('#ranking .name').length === 7").await.unwrap();
        browser.until("!document.getElementById('pipeline').hidden").await.unwrap();
        browser.until("document.getElementById('letters-rows').rows.length === 1").await.unwrap();
        send_with_form(&mut browser).await;
        let width = browser.evaluate("document.documentElement.scrollWidth").await.unwrap();
        assert_eq!(width, view.width, "{name}");
        browser.screenshot(&folder.join(format!("{name}.png"))).await.unwrap();
        assert_eq!(browser.accessibility_violations().await.unwrap(), [""; 0], "{name}");
        assert_eq!(browser.problems(), [""; 0], "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_store_the_page_reports_that_and_recovers() {
    let kafka = shared_kafka();
    let mut valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let pipeline =
        Pipeline::with_store(Wiring::Chained, &kafka.bootstrap(), &valkey.url()).await.unwrap();
    let client = pipeline.client();
    sell(&client, 10).await;
    let url = format!("http://{}/", client.address());
    let mut browser = Browser::open(&url, DESKTOP).await.unwrap();
    browser.until(&is("sales", "10")).await.unwrap();
    valkey.kill().await.unwrap();
    browser.until(&state("stale")).await.unwrap();
    browser.until("document.body.classList.contains('old')").await.unwrap();
    assert_eq!(browser.evaluate(&is("sales", "10")).await.unwrap(), true);
    let _valkey = valkey.restart().await.unwrap();
    browser.until(&state("live")).await.unwrap();
    browser.until("document.getElementById('notice').hidden").await.unwrap();
    sell(&client, 10).await;
    browser.until(&is("sales", "20")).await.unwrap();
    assert_eq!(browser.problems(), [""; 0]);
    pipeline.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_hops_and_marks_old_metrics() {
    let source = MetricsSource::start().await.unwrap();
    let variables = [("metrics_url", &*source.url())];
    let pipeline = Pipeline::with_variables(&shared_kafka().bootstrap(), &variables).await.unwrap();
    let client = pipeline.client();
    let url = format!("http://{}/", client.address());
    let mut browser = Browser::open(&url, DESKTOP).await.unwrap();
    // The times of the metrics determine the rates, so these are exact.
    browser.until(&hop_is("ingest", "100")).await.unwrap();
    browser.until(&hop_is("aggregator", "100")).await.unwrap();
    let refused = "document.querySelector('[data-hop=ingest] dd').textContent";
    assert_eq!(browser.evaluate(refused).await.unwrap(), "2.0");
    assert_eq!(browser.evaluate(&is("lag", "7")).await.unwrap(), true);
    assert_eq!(browser.evaluate(&is("dead-letters", "3")).await.unwrap(), true);
    // Prometheus has no letters.
    assert_eq!(browser.evaluate("document.getElementById('letters').hidden").await.unwrap(), true);
    assert_eq!(browser.evaluate(&health("refusing")).await.unwrap(), true);
    assert_eq!(browser.accessibility_violations().await.unwrap(), [""; 0]);
    // No figure is negative when the counts begin again.
    browser.evaluate(OBSERVE_MINUS).await.unwrap();
    source.set(MetricsAnswer::CountingAgain);
    let answers = source.answers();
    eventually("the counts have begun again", async || {
        (source.answers() > answers + 3).then_some(())
    })
    .await;
    browser.until(&hop_is("ingest", "100")).await.unwrap();
    assert_eq!(browser.evaluate("window.minus").await.unwrap(), false);
    source.set(MetricsAnswer::None);
    browser.until(&health("stale")).await.unwrap();
    browser.until("!document.getElementById('pipeline-notice').hidden").await.unwrap();
    sell(&client, 10).await;
    browser.until(&is("sales", "10")).await.unwrap();
    assert_eq!(browser.evaluate(&state("live")).await.unwrap(), true);
    source.set(MetricsAnswer::CountingAgain);
    browser.until("document.getElementById('pipeline-notice').hidden").await.unwrap();
    assert_eq!(browser.problems(), [""; 0]);
    pipeline.stop().await.unwrap();
}

/// Sets `window.minus` when the picture of the pipeline contains a minus.
const OBSERVE_MINUS: &str = "window.minus = false; new MutationObserver(() => { \
    window.minus ||= /[-\u{2212}]\\d/.test(document.getElementById('path').textContent); \
    }).observe(document.getElementById('path'), \
    { subtree: true, childList: true, characterData: true })";

/// Collects the durations of tasks of more than 50 ms.
const OBSERVE_LONG_TASKS: &str = "window.longTasks = []; new PerformanceObserver((list) => \
    window.longTasks.push(...list.getEntries().map((entry) => entry.duration))) \
    .observe({ type: 'longtask', buffered: true })";

/// Sends 5,000 sales within a second, if the machine permits, while the page is open. How long the
/// page's tasks are depends on the machine, so the test prints it; it fails if the page does not
/// show all sales.
#[tokio::test(flavor = "multi_thread")]
async fn the_page_follows_five_thousand_sales_per_second() {
    const REQUESTS: u32 = 10;
    const SALES: i32 = 500;
    let pipeline = Pipeline::start(Wiring::Fused, &shared_kafka().bootstrap()).await.unwrap();
    let client = pipeline.client();
    let url = format!("http://{}/", client.address());
    let mut browser = Browser::open(&url, DESKTOP).await.unwrap();
    browser.until(&is("sales", "0")).await.unwrap();
    browser.evaluate(OBSERVE_LONG_TASKS).await.unwrap();
    let begun = Instant::now();
    let mut due = tokio::time::interval(Duration::from_millis(100));
    for _ in 0..REQUESTS {
        due.tick().await;
        sell(&client, SALES).await;
    }
    let rate = f64::from(REQUESTS) * f64::from(SALES) / begun.elapsed().as_secs_f64();
    browser.until(&is("sales", "5,000")).await.unwrap();
    let long = browser.evaluate("window.longTasks").await.unwrap();
    println!("tasks of more than 50 ms at {rate:.0} sales/s: {long}");
    assert_eq!(browser.problems(), [""; 0]);
    pipeline.stop().await.unwrap();
}
