//! `examples/weather` over Kafka and over RabbitMQ at the same time. `amqp.rs` calls this, because it has the servers.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use pipeline_tests::{Client, Launch, Pipeline, Store, eventually, root};
use test_servers::{QueueClient, QueueMessage, shared_kafka};

/// The topic and the queue.
const NAME: &str = "tweets-topic";

/// The front doors.
const PATHS: [&str; 2] = ["/input", "/rabbitmq/input"];

const COUNTRIES: [&str; 3] = ["GT", "MX", "PE"];
const WEATHER: [&str; 4] = ["clear", "fog", "rain", "snow"];
const POSTS: usize = 300;

fn post(number: usize) -> String {
    let (country, weather) = (COUNTRIES[number % 3], WEATHER[number * number % 4]);
    format!(r#"{{"description":"Post {number}.","country":"{country}","weather":"{weather}"}}"#)
}

/// The number of posts for each of these values.
fn expected(value: impl Fn(usize) -> &'static str) -> BTreeMap<String, String> {
    let mut counts = BTreeMap::<String, usize>::new();
    for number in 0..POSTS {
        *counts.entry(value(number).into()).or_default() += 1;
    }
    counts.into_iter().map(|(name, count)| (name, count.to_string())).collect()
}

/// Posts are counted once over both brokers, also those that are sent twice. What is not a post is
/// refused at the front door, and becomes a dead letter if another program writes it to the queue.
pub async fn posts_are_counted_over_both_brokers(amqp_url: &str, valkey_url: &str) {
    let client = QueueClient::connect(amqp_url).await.unwrap();
    let letters = format!("{NAME}.dead-letter");
    for queue in [NAME, &letters] {
        client.declare(queue).await.unwrap();
    }
    let odd = QueueMessage::new("odd", &odd());
    client.publish(NAME, [odd]).await.unwrap();

    let address = amqp_url.split_once('@').unwrap().1.trim_end_matches("/%2f");
    let manifest = root().join("examples/weather/spin.toml");
    let launch = Launch::new(manifest, shared_kafka().bootstrap(), valkey_url, NAME)
        .variable("amqp_url", amqp_url)
        .variable("amqp_address", address);
    let running = Pipeline::launch(&launch).await.unwrap();
    for path in PATHS {
        send(&running.client(), path).await;
    }
    // Each path has a database of its own.
    let stores = [valkey_url.to_owned(), format!("{valkey_url}/1")];
    for store in &stores {
        check(store).await;
    }
    running.stop().await.unwrap();
    for store in &stores {
        check(store).await;
    }
    eventually("a dead letter", async || client.take(&letters).await.ok()?).await;
    assert_eq!(client.waiting(NAME).await.unwrap(), 0, "all are acknowledged");
}

/// A post that the schema and the component refuse.
fn odd() -> String {
    post(0).replace("clear", "frogs")
}

async fn send(client: &Client, path: &str) {
    for number in 0..POSTS {
        let key = format!("post-{number}");
        let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
        for _ in 0..=usize::from(number % 10 == 0) {
            // A broker that has just started may need some time.
            eventually("the post is accepted", async || {
                let sent = client.send(Method::POST, path, &headers, post(number)).await;
                (sent.ok()?.status == StatusCode::OK).then_some(())
            })
            .await;
        }
    }
    assert_eq!(client.post(path, odd()).await.unwrap().status, StatusCode::BAD_REQUEST);
}

/// Waits until all posts are counted, and compares the counts.
async fn check(url: &str) {
    let store = Store::connect(url).await.unwrap();
    let total = POSTS.to_string();
    eventually("all posts are counted", async || {
        (store.get("{weather:1}:posts").await? == total).then_some(())
    })
    .await;
    let counted = async |key| store.fields(key).await.unwrap();
    assert_eq!(counted("{weather:1}:countries").await, expected(|n| COUNTRIES[n % 3]));
    assert_eq!(counted("{weather:1}:weather").await, expected(|n| WEATHER[n * n % 4]));
}
