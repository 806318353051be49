//! Windows by configuration, `examples/windows`, on real servers. The expected figures are counted
//! from the topic, one record after the other.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use host_producer::{Header, NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use pipeline_tests::{Launch, Pipeline, eventually, root};
use redis::AsyncCommands as _;
use redis::aio::MultiplexedConnection;
use serde_json::{Value, json};
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

use crate::letters::command;

const TOPIC: &str = "window-orders";
const PARTITIONS: i32 = 3;
/// 2026-01-01T00:00:00Z. The windows of the test are kept for years after it.
const BEGIN_S: i64 = 1_767_225_600;

/// Writes orders, which are half a second apart. Every 13th one is two minutes late, every 5th one is
/// written twice with the same idempotency key, and after every 50th one comes one without a time.
async fn write(brokers: &str, numbers: std::ops::Range<i64>) {
    let mut records = Vec::new();
    for number in numbers {
        let delay = if number % 13 == 0 { 120 } else { number % 7 };
        let second = BEGIN_S + number / 2 - delay;
        let order = json!({
            "at": second * 1_000,
            "shop": format!("shop{}", number % 2),
            "product": format!("product{}", number * number % 11),
            "price": (number * 7 % 1_000) as f64 / 100.0,
            "quantity": number % 3 + 1,
        });
        let record = |value: &Value| OutgoingRecord {
            topic: TOPIC.into(),
            // Each customer orders several times within half a minute, then none for a while.
            key: Some(format!("customer{}", (number / 60 * 5 + number % 5) % 17).into()),
            value: Some(value.to_string().into_bytes()),
            ..OutgoingRecord::default()
        };
        let mut written = record(&order);
        if number % 5 == 0 {
            let (name, value) = ("idempotency-key".into(), Some(number.to_string().into()));
            written.headers.push(Header { name, value });
            records.push(written.clone());
        }
        records.push(written);
        if number % 50 == 0 {
            records.push(record(&json!({ "shop": "x" })));
        }
    }
    let producer = Producer::new(ProducerConfig::new(brokers)).unwrap();
    producer.send(records).await.unwrap();
}

/// What a group of a minute must have.
#[derive(Default)]
struct Figures {
    orders: i64,
    cents: i64,
    prices: Vec<i64>,
    customers: BTreeSet<String>,
    products: BTreeMap<String, f64>,
}

/// The figures of the records in the topic.
#[derive(Default)]
struct Recount {
    minutes: BTreeMap<(i64, String), Figures>,
    late: i64,
    late_in_sessions: i64,
    /// The times and the prices of each customer.
    visits: BTreeMap<String, Vec<(i64, i64)>>,
    /// The places of the rejected records.
    rejected: BTreeSet<(i64, i64)>,
}

impl Recount {
    async fn of_topic(brokers: &str) -> Self {
        let capture = ["capture", "--kafka", brokers, "--topic", TOPIC, "--max", "100000"];
        let (captured, lines, error) = command(&capture).await;
        assert!(captured, "{error}");
        let mut records: Vec<Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let place = |record: &Value| {
            (record["partition"].as_i64().unwrap(), record["offset"].as_i64().unwrap())
        };
        records.sort_by_key(place);
        let (mut recount, mut seen) = (Self::default(), HashSet::new());
        let mut newest: BTreeMap<i64, i64> = BTreeMap::new();
        for record in &records {
            let (partition, offset) = place(record);
            let (text, headers) = (record["value"].as_str().unwrap(), &record["headers"]);
            if !headers.is_null() && !seen.insert((headers.to_string(), text.to_owned())) {
                continue;
            }
            let order: Value = serde_json::from_str(text).unwrap();
            let Some(time_ms) = order["at"].as_i64() else {
                recount.rejected.insert((partition, offset));
                continue;
            };
            let second = time_ms / 1_000;
            let newest = newest.entry(partition).or_insert(i64::MIN);
            let (minute, customer) = (second / 60 * 60, record["key"].as_str().unwrap());
            let is_late = minute + 60 <= newest.saturating_sub(60);
            let is_late_in_sessions = second + 20 <= newest.saturating_sub(30);
            *newest = second.max(*newest);
            let cents = (order["price"].as_f64().unwrap() * 100.0).round() as i64;
            if is_late_in_sessions {
                recount.late_in_sessions += 1;
            } else {
                recount.visits.entry(customer.into()).or_default().push((second, cents));
            }
            if is_late {
                recount.late += 1;
                recount.rejected.insert((partition, offset));
                continue;
            }
            let shop = order["shop"].as_str().unwrap().to_owned();
            let figures = recount.minutes.entry((minute, shop)).or_default();
            figures.orders += 1;
            figures.cents += cents;
            figures.prices.push(cents);
            figures.customers.insert(customer.into());
            let product = order["product"].as_str().unwrap().to_owned();
            *figures.products.entry(product).or_default() += order["quantity"].as_f64().unwrap();
        }
        recount
    }

    /// Waits until every record is counted, and compares all figures.
    async fn equals(&self, store: &MultiplexedConnection) {
        let orders: i64 = self.minutes.values().map(|figures| figures.orders).sum();
        let visits: usize = self.visits.values().map(Vec::len).sum();
        let expected = (orders, self.late, visits as i64, self.late_in_sessions);
        eventually("all orders are counted", async || {
            let counted = (
                minute_orders(store).await,
                late(store, "minutes").await,
                session_orders(store).await,
                late(store, "sessions").await,
            );
            (counted == expected).then_some(())
        })
        .await;
        for ((minute, shop), figures) in &self.minutes {
            figures.equal(store, *minute, shop).await;
        }
        for (customer, visits) in &self.visits {
            let key = format!("{{sessions:1}}:sessions:{customer}");
            let text: String = store.clone().get(key).await.unwrap();
            let stored: Value = serde_json::from_str(&text).unwrap();
            assert_eq!(stored, sessions(visits), "{customer}");
        }
    }
}

impl Figures {
    async fn equal(&self, store: &MultiplexedConnection, minute: i64, shop: &str) {
        let mut store = store.clone();
        let key = |aggregate: &str| format!("{{minutes:1}}:{aggregate}:{minute}");
        let own_key = |aggregate: &str| format!("{}:{shop}", key(aggregate));
        let text = |cents: i64| {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        };
        for (aggregate, field, expected) in [
            ("orders", shop.to_owned(), self.orders.to_string()),
            ("revenue", shop.to_owned(), text(self.cents)),
            ("price", format!("sum:{shop}"), text(self.cents)),
            ("price", format!("count:{shop}"), self.orders.to_string()),
            ("cheapest", shop.to_owned(), text(*self.prices.iter().min().unwrap())),
            ("dearest", shop.to_owned(), text(*self.prices.iter().max().unwrap())),
        ] {
            let stored: String = store.hget(key(aggregate), &field).await.unwrap();
            assert_eq!(stored, expected, "{aggregate} {minute} {field}");
        }
        let products: Vec<(String, f64)> =
            store.zrange_withscores(own_key("products"), 0, -1).await.unwrap();
        assert_eq!(products.into_iter().collect::<BTreeMap<_, _>>(), self.products);
        // An estimate of so few elements is exact.
        let customers: usize = store.pfcount(own_key("customers")).await.unwrap();
        assert_eq!(customers, self.customers.len());
        let buckets: BTreeMap<i64, i64> = store.hgetall(own_key("prices")).await.unwrap();
        let mut expected: BTreeMap<i64, i64> = BTreeMap::new();
        for cents in &self.prices {
            // Below 1,000, a bucket has at most four values.
            let width = if *cents < 256 {
                1
            } else if *cents < 512 {
                2
            } else {
                4
            };
            *expected.entry(cents / width * width).or_default() += 1;
        }
        assert_eq!(buckets, expected);
        let expires: i64 = store.expire_time(key("orders")).await.unwrap();
        assert_eq!(expires, minute + 60 + RETENTION_S);
    }
}

/// The sessions of a customer, as they are stored.
fn sessions(visits: &[(i64, i64)]) -> Value {
    let mut visits = visits.to_vec();
    visits.sort_unstable();
    let mut sessions: Vec<(i64, i64, i64, i64)> = Vec::new();
    for (second, cents) in visits {
        match sessions.last_mut() {
            Some((_, end, orders, spent)) if second <= *end => {
                (*end, *orders, *spent) = (second + 20, *orders + 1, *spent + cents);
            }
            _ => sessions.push((second, second + 20, 1, cents)),
        }
    }
    let session = |(start, end, orders, cents): (i64, i64, i64, i64)| {
        let spent = format!("{}.{:02}", cents / 100, cents % 100);
        let spent = spent.trim_end_matches('0').trim_end_matches('.');
        json!({
            "start_ms": start * 1_000,
            "end_ms": end * 1_000,
            "values": { "orders": { "count": orders }, "spent": { "sum": spent } },
        })
    };
    sessions.into_iter().map(session).collect()
}

/// The number of late records.
async fn late(store: &MultiplexedConnection, state: &str) -> i64 {
    let late: Option<i64> =
        store.clone().hget(format!("{{{state}:1}}:late"), "records").await.unwrap();
    late.unwrap_or(0)
}

/// The number of orders in all minutes.
async fn minute_orders(store: &MultiplexedConnection) -> i64 {
    let mut store = store.clone();
    let keys: Vec<String> = store.keys("{minutes:1}:orders:*").await.unwrap();
    let mut sum = 0;
    for key in keys {
        let orders: Vec<i64> = store.hvals(key).await.unwrap();
        sum += orders.iter().sum::<i64>();
    }
    sum
}

/// The number of orders in all sessions.
async fn session_orders(store: &MultiplexedConnection) -> i64 {
    let mut store = store.clone();
    let keys: Vec<String> = store.keys("{sessions:1}:sessions:*").await.unwrap();
    let mut sum = 0;
    for key in keys {
        let text: String = store.get(key).await.unwrap();
        let sessions: Value = serde_json::from_str(&text).unwrap();
        let orders = |session: &Value| session["values"]["orders"]["count"].as_i64().unwrap();
        sum += sessions.as_array().unwrap().iter().map(orders).sum::<i64>();
    }
    sum
}

/// The places of the dead letters.
async fn letters(brokers: &str) -> BTreeSet<(i64, i64)> {
    let topic = format!("{TOPIC}.dead-letter");
    let capture = ["capture", "--kafka", brokers, "--topic", &topic, "--max", "100000"];
    let (captured, lines, error) = command(&capture).await;
    assert!(captured, "{error}");
    let place = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        let header = |name: &str| {
            let headers = letter["headers"].as_array().unwrap();
            let header = headers.iter().find(|header| header["name"] == name).unwrap();
            header["value"].as_str().unwrap().parse().unwrap()
        };
        (header("__connect.errors.partition"), header("__connect.errors.offset"))
    };
    lines.lines().map(place).collect()
}

/// The line of the example after which settings are added.
const BROKERS: &str = "brokers = \"{{ kafka_brokers }}\"";
/// The number of orders that are written before the trigger is started. Some of them are late.
const FIRST_ORDERS: i64 = 400;
/// `retention_s` of the test.
const RETENTION_S: i64 = 300_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn windows_are_counted_once_and_late_records_are_rejected_across_a_kill() {
    let (kafka, valkey) = (shared_kafka(), start_valkey(ValkeyConfig::default()).await.unwrap());
    let brokers = kafka.bootstrap();
    let topic = NewTopic::new(TOPIC, PARTITIONS);
    ensure_topic(&ProducerConfig::new(&brokers), topic).await.unwrap();
    let client = redis::Client::open(valkey.url()).unwrap();
    let store = client.get_multiplexed_async_connection().await.unwrap();
    // The example with a longer retention, because the times of the test are fixed, and with the
    // shortest time after which a member that was killed loses its partitions.
    let folder = tempfile::TempDir::new().unwrap();
    let example = std::fs::read_to_string(root().join("examples/windows/spin.toml")).unwrap();
    let components = format!("{}/target/components/", root().display());
    let example = example
        .replace("../../target/components/", &components)
        .replace("retention_s = 604800", &format!("retention_s = {RETENTION_S}"))
        .replace(
            BROKERS,
            &format!("{BROKERS}\nsession_timeout_ms = 6000\ndrain_deadline_ms = 3000"),
        );
    let manifest = folder.path().join("spin.toml");
    std::fs::write(&manifest, example).unwrap();
    let launch =
        Launch::new(manifest, &brokers, valkey.url(), TOPIC).variable("kafka_topic", TOPIC);

    write(&brokers, 0..FIRST_ORDERS).await;
    let running = Pipeline::launch(&launch).await.unwrap();
    // The trigger is killed while records are written, and therefore while some are applied.
    let writes = async {
        for start in (FIRST_ORDERS..800).step_by(20) {
            write(&brokers, start..start + 20).await;
        }
    };
    let kill = async {
        eventually("an order of the second writer is counted", async || {
            (minute_orders(&store).await > FIRST_ORDERS).then_some(())
        })
        .await;
        running.kill().await.unwrap();
    };
    tokio::join!(writes, kill);
    let running = Pipeline::launch(&launch).await.unwrap();
    let recount = Recount::of_topic(&brokers).await;
    assert!(recount.late > 20 && recount.late_in_sessions > 20, "the test has late records");
    recount.equals(&store).await;
    eventually("all letters are written", async || {
        (letters(&brokers).await == recount.rejected).then_some(())
    })
    .await;

    // The next batch of each partition detects that the windows are lost.
    redis::cmd("FLUSHALL").exec_async(&mut store.clone()).await.unwrap();
    write(&brokers, 800..850).await;
    Recount::of_topic(&brokers).await.equals(&store).await;
    running.stop().await.unwrap();
}
