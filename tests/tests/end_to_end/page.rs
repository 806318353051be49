//! The live page in a real browser: it shows what was counted, reports failures, and recovers.

use http::Method;
use pipeline_tests::{Browser, Client, Pipeline, View, Wiring, root};
use sale::Sale;
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

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

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_what_is_counted_and_sends_a_sale() {
    let pipeline = Pipeline::start(Wiring::Chained, &shared_kafka().bootstrap()).await.unwrap();
    let client = pipeline.client();
    let url = format!("http://{}/", client.address());
    let mut browser = Browser::open(&url, DESKTOP).await.unwrap();
    browser.until(&state("live")).await.unwrap();
    browser.until(&is("sales", "0")).await.unwrap();
    browser.until("!document.getElementById('empty').hidden").await.unwrap();
    browser.evaluate("document.querySelector('#sell button').click()").await.unwrap();
    browser.until("document.querySelectorAll('#outcome .good').length === 2").await.unwrap();
    browser.until(&is("sales", "1")).await.unwrap();
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
    let first = "document.querySelector('#ranking .name').textContent";
    let ranking = client.send(Method::GET, "/api/v1/rankings", &[], "").await.unwrap().json();
    assert_eq!(browser.evaluate(first).await.unwrap(), ranking["products"][0]["producto_id"]);
    browser.evaluate("document.querySelector('[data-language=es]').click()").await.unwrap();
    browser.until(&is("categories-title", "Categorías")).await.unwrap();
    assert_eq!(browser.evaluate("document.documentElement.lang").await.unwrap(), "es");
    assert_eq!(browser.problems(), [""; 0]);
    take_pictures(&url).await;
    pipeline.stop().await.unwrap();
    browser.until(&state("lost")).await.unwrap();
    browser.until("!document.getElementById('notice').hidden").await.unwrap();
}

/// Takes a picture of every view. Checks that none is wider than its window, and that axe-core
/// finds no error.
async fn take_pictures(url: &str) {
    let folder = root().join("target/page");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, view) in VIEWS {
        let mut browser = Browser::open(url, view).await.unwrap();
        browser.until(&state("live")).await.unwrap();
        browser.until("document.querySelectorAll('#ranking .name').length === 7").await.unwrap();
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
