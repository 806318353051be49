//! `examples/weather` over Kafka and over RabbitMQ. `amqp.rs` calls this, because it has the servers.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use pipeline_tests::{Launch, Pipeline, Store, eventually, root};
use test_servers::{QueueClient, QueueMessage, shared_kafka};

/// The topic and the queue.
const NAME: &str = "tweets-topic";

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

    let kafka = shared_kafka();
    let manifest = |name: &str| root().join("examples/weather").join(name);
    // Each path has a store of its own.
    let (of_kafka, of_rabbit) = (format!("{valkey_url}/1"), format!("{valkey_url}/2"));
    let launch = Launch::new(manifest("spin.toml"), kafka.bootstrap(), &of_kafka, NAME);
    send_and_check(&launch, &of_kafka).await;
    let address = amqp_url.split_once('@').unwrap().1.trim_end_matches("/%2f");
    let launch = Launch::new(manifest("spin-amqp.toml"), "127.0.0.1:1", &of_rabbit, NAME)
        .variable("amqp_url", amqp_url)
        .variable("amqp_address", address);
    send_and_check(&launch, &of_rabbit).await;
    eventually("a dead letter", async || client.take(&letters).await.ok()?).await;
    assert_eq!(client.waiting(NAME).await.unwrap(), 0, "all are acknowledged");
}

/// A post that the schema and the component refuse.
fn odd() -> String {
    post(0).replace("clear", "frogs")
}

async fn send_and_check(launch: &Launch, store: &str) {
    let running = Pipeline::launch(launch).await.unwrap();
    let client = running.client();
    for number in 0..POSTS {
        let key = format!("post-{number}");
        let headers = [("content-type", "application/json"), ("idempotency-key", &*key)];
        for _ in 0..=usize::from(number % 10 == 0) {
            // A broker that has just started may need some time.
            eventually("the post is accepted", async || {
                let sent = client.send(Method::POST, "/input", &headers, post(number)).await;
                (sent.ok()?.status == StatusCode::OK).then_some(())
            })
            .await;
        }
    }
    assert_eq!(client.post("/input", odd()).await.unwrap().status, StatusCode::BAD_REQUEST);
    check(store).await;
    running.stop().await.unwrap();
    check(store).await;
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
