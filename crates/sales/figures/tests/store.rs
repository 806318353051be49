//! Reads figures from a real Valkey, which the aggregator's script has written.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use aggregate::{
    Known, NAMES, Namespace, OffsetRange, Record, Reply, RetentionLimits, Source, Step, Update,
};
use figures::{Error, Query, Snapshot};
use redis::aio::MultiplexedConnection;
use redis::{Cmd, ToRedisArgs};
use sale::Sale;
use serde_json::{Value, json};
use test_servers::{Valkey, ValkeyConfig, start_valkey};

struct Store {
    connection: MultiplexedConnection,
    _valkey: Valkey,
}

impl Store {
    async fn start() -> Self {
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        let client = redis::Client::open(valkey.url()).unwrap();
        let connection = client.get_multiplexed_async_connection().await.unwrap();
        Self { connection, _valkey: valkey }
    }

    async fn send(
        &mut self,
        words: impl IntoIterator<Item: ToRedisArgs>,
    ) -> Result<Vec<String>, String> {
        let mut command = Cmd::new();
        for word in words {
            command.arg(word);
        }
        let reply = command.query_async(&mut self.connection).await;
        reply.map_err(|error| {
            format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
        })
    }

    /// Runs a command that writes.
    async fn write(&mut self, words: &[&str]) {
        let mut command = Cmd::new();
        words.iter().for_each(|word| {
            command.arg(*word);
        });
        command.exec_async(&mut self.connection).await.unwrap();
    }

    /// Counts these sales.
    async fn count(&mut self, sales: &[Sale]) {
        let values: Vec<Vec<u8>> = sales.iter().map(Sale::to_json).collect();
        let records = values.iter().zip(0..).map(|(value, offset)| Record {
            offset,
            timestamp_ms: None,
            idempotency_key: None,
            value: Some(value),
        });
        let source = Source {
            namespace: Namespace::fixed("", &NAMES).unwrap(),
            group: "g".into(),
            topic: "t".into(),
            log_id: String::new(),
            partition: 0,
        };
        let range = OffsetRange { start: 0, end: sales.len() as i64, expected_position: None };
        let mut update = Update::from_records(source, range, RetentionLimits::default(), records);
        let mut known = Known::default();
        loop {
            let reply = match self.send(update.command(&known).unwrap().words()).await {
                Ok(words) => Reply::Values(words.into_iter().map(String::into_bytes).collect()),
                Err(text) => Reply::Error(text),
            };
            match update.reply(reply, &mut known).unwrap() {
                Step::Send | Step::Run => {}
                step => return assert_eq!(step, Step::Done),
            }
        }
    }

    async fn query(&mut self, path: &str, query: &str) -> Result<Value, Error> {
        let query = Query::parse(path, query).unwrap().unwrap();
        let reply = self.send(query.command("")).await;
        query.answer(reply).map(|json| serde_json::from_slice(&json).unwrap())
    }

    async fn snapshot(&mut self) -> Snapshot {
        let reply = self.send(Snapshot::command("")).await;
        Snapshot::from_reply(reply).unwrap()
    }
}

fn sale(category: i32, product: &str, price: f64, quantity: i32) -> Sale {
    Sale { category, product_id: product.into(), price, quantity }
}

#[tokio::test]
async fn an_empty_store_has_empty_figures() {
    let mut store = Store::start().await;
    let totals = store.query("totals", "").await.unwrap();
    assert_eq!(
        totals,
        json!({"sales": 0, "units": 0, "revenue": 0.0, "average_price": null, "price_min": null,
            "price_max": null})
    );
    let categories = store.query("categories", "").await.unwrap();
    assert_eq!(categories["categories"].as_array().unwrap().len(), 5);
    assert_eq!(categories["categories"][4]["categoria"], 0);
    assert_eq!(categories["categories"][4]["revenue"], 0.0);
    assert_eq!(categories["categories"][4]["monitored_product"], Value::Null);
    let ranking = store.query("rankings", "").await.unwrap();
    assert_eq!(
        ranking,
        json!({"categoria": null, "offset": 0, "limit": 10, "total": 0, "products": []})
    );
    let prices = store.query("prices", "categoria=1").await.unwrap();
    assert_eq!(prices, json!({"categoria": 1, "producto_id": null, "prices": []}));
    let unknown = store.query("products/tv", "").await;
    assert_eq!(unknown, Err(Error::UnknownProduct("tv".into())));
}

#[tokio::test]
async fn figures_equal_the_counted_sales() {
    let mut store = Store::start().await;
    store
        .count(&[
            sale(1, "tv", 499.99, 2),
            sale(1, "tv", 450.01, 1),
            sale(1, "radio", 20.0, 5),
            sale(4, "crema", 12.5, 3),
            sale(9, "tv", 0.5, 4),
        ])
        .await;
    let totals = store.query("totals", "").await.unwrap();
    assert_eq!(
        totals,
        json!({"sales": 5, "units": 15, "revenue": 1589.49, "average_price": 196.6,
            "price_min": 0.5, "price_max": 499.99})
    );
    let categories = store.query("categories", "").await.unwrap();
    assert_eq!(
        categories["categories"][0],
        json!({"categoria": 1, "name": "Electronica", "sales": 3, "units": 8, "revenue": 1549.99,
            "price_sum": 970.0, "average_price": 970.0 / 3.0, "average_units": 8.0 / 3.0,
            "monitored_product": "tv"})
    );
    let ranking = store.query("rankings", "limit=2").await.unwrap();
    assert_eq!(
        ranking,
        json!({"categoria": null, "offset": 0, "limit": 2, "total": 3, "products": [
            {"rank": 1, "producto_id": "tv", "units": 7},
            {"rank": 2, "producto_id": "radio", "units": 5}]})
    );
    let ranking = store.query("rankings", "categoria=1&offset=1").await.unwrap();
    assert_eq!(ranking["total"], 2);
    assert_eq!(ranking["products"], json!([{"rank": 2, "producto_id": "tv", "units": 3}]));
    let product = store.query("products/tv", "").await.unwrap();
    assert_eq!(
        product,
        json!({"producto_id": "tv", "rank": 1, "units": 7, "categories": [
            {"categoria": 1, "name": "Electronica", "units": 3},
            {"categoria": 0, "name": "Otros", "units": 4}]})
    );
    let prices = store.query("prices", "categoria=1").await.unwrap();
    let values: Vec<_> = prices["prices"].as_array().unwrap().iter().map(|p| &p["price"]).collect();
    assert_eq!(
        (&prices["producto_id"], values),
        (&json!("tv"), vec![&json!(499.99), &json!(450.01)])
    );
    assert!(prices["prices"][0]["time_ms"].as_i64().unwrap() > 1_700_000_000_000);
    let latest = store.query("prices", "categoria=1&limit=1").await.unwrap();
    assert_eq!(latest["prices"], json!([prices["prices"][1]]));
}

#[tokio::test]
async fn a_revenue_that_does_not_include_all_sales_is_not_shown() {
    let mut store = Store::start().await;
    store.count(&[sale(1, "tv", 0.1, 1), sale(2, "abrigo", 0.2, 1)]).await;
    assert_eq!(store.query("totals", "").await.unwrap()["revenue"], 0.3);
    let revenues = |categories: &Value| {
        let categories = categories["categories"].as_array().unwrap();
        json!(categories.iter().map(|category| &category["revenue"]).collect::<Vec<_>>())
    };
    store.write(&["HSET", "ingresos:Ropa", "ventas", "2"]).await;
    let categories = store.query("categories", "").await.unwrap();
    assert_eq!(revenues(&categories), json!([0.1, null, 0.0, 0.0, 0.0]));
    assert_eq!(store.query("totals", "").await.unwrap()["revenue"], Value::Null);
    store.write(&["DEL", "ingresos:Ropa"]).await;
    let categories = store.query("categories", "").await.unwrap();
    assert_eq!(revenues(&categories), json!([0.1, null, 0.0, 0.0, 0.0]));
    store.write(&["HSET", "ingresos:Ropa", "ventas", "1", "total", "none"]).await;
    let error = store.query("categories", "").await.unwrap_err();
    assert!(matches!(&error, Error::Malformed { key, .. } if key == "ingresos:Ropa"), "{error}");
}

#[tokio::test]
async fn a_snapshot_changes_only_with_the_figures() {
    let mut store = Store::start().await;
    let empty = store.snapshot().await;
    assert_eq!(store.snapshot().await.etag, empty.etag);
    store.count(&[sale(2, "abrigo", 80.0, 1)]).await;
    let one = store.snapshot().await;
    assert_ne!(one.etag, empty.etag);
    assert!(one.time_ms >= empty.time_ms);
    let figures: Value = serde_json::from_slice(&one.json).unwrap();
    assert_eq!(figures["totals"], store.query("totals", "").await.unwrap());
    assert_eq!(figures["rankings"][0], store.query("rankings", "limit=8").await.unwrap());
    let of_category = store.query("rankings", "limit=5&categoria=2").await.unwrap();
    assert_eq!(figures["rankings"][2], of_category);
    assert_eq!(figures["prices"][1]["prices"][0]["price"], 80.0);
}

#[tokio::test]
async fn the_script_cannot_write_and_keys_of_another_type_are_an_error() {
    let mut store = Store::start().await;
    let mut command = Query::Totals.command("");
    let length = command.len();
    command.truncate(2);
    command.extend(["1", "k", "3", "SET", "k", "v"].map(|word| word.as_bytes().to_vec()));
    assert!(length > 8 && store.send(command).await.is_err());
    store.write(&["SET", "ranking_productos", "x"]).await;
    let error = store.query("rankings", "").await.unwrap_err();
    assert!(!error.is_retriable(), "{error}");
}
