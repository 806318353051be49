//! The update on a real Valkey against a naive model that counts one record at a time, in
//! whatever batches, repeats and overlaps the records come.

use std::cell::RefCell;
use std::collections::BTreeMap;

use aggregate::{Monitored, Reply, Source, Step, Update};
use local_servers::{Valkey, ValkeyConfig};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis::Value;
use sale::{Category, Sale};
use tokio::runtime::Runtime;

/// What the original consumer does with each sale, with exact sums.
#[derive(Debug, Default, PartialEq)]
struct Model {
    count: BTreeMap<&'static str, i64>,
    units: BTreeMap<&'static str, i64>,
    micros: BTreeMap<&'static str, i128>,
    monitored: BTreeMap<&'static str, String>,
    stream: BTreeMap<&'static str, Vec<String>>,
    ranking: BTreeMap<(String, String), i64>,
    total: i64,
    max: f64,
    min: Option<f64>,
}

impl Model {
    fn count(&mut self, sale: &Sale) {
        let category = Category::of(sale.category).name();
        let product = &sale.product_id;
        let monitored = self.monitored.entry(category).or_insert_with(|| product.clone());
        if monitored == product {
            self.stream.entry(category).or_default().push(sale.price.to_string());
        }
        *self.count.entry(category).or_default() += 1;
        *self.units.entry(category).or_default() += i64::from(sale.quantity);
        *self.micros.entry(category).or_default() += (sale.price * 1e6).round() as i128;
        for ranking in ["ranking_productos".into(), format!("ranking_productos_cat:{category}")] {
            *self.ranking.entry((ranking, product.clone())).or_default() += i64::from(sale.quantity);
        }
        self.total += 1;
        self.max = self.max.max(sale.price);
        self.min = Some(self.min.map_or(sale.price, |min| min.min(sale.price)));
    }

    /// Every key of the contract as the model has it.
    fn keys(&self) -> BTreeMap<String, String> {
        let mut keys = BTreeMap::new();
        for (category, count) in &self.count {
            let micros = self.micros[category];
            let price = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
            let price = price.trim_end_matches('0').trim_end_matches('.').to_owned();
            keys.insert(format!("contador:{category}"), count.to_string());
            keys.insert(format!("suma_cantidad:{category}"), self.units[category].to_string());
            keys.insert(format!("suma_precio:{category}"), price);
            let name = self.monitored[category].clone();
            keys.insert(format!("producto_monitoreado_nombre:{category}"), name);
        }
        if self.total > 0 {
            keys.insert("total_ventas".into(), self.total.to_string());
        }
        if self.max > 0.0 {
            keys.insert("precio_max_global".into(), self.max.to_string());
        }
        if let Some(min) = self.min {
            keys.insert("precio_min_global".into(), min.to_string());
        }
        keys
    }
}

struct Store {
    runtime: Runtime,
    client: redis::aio::MultiplexedConnection,
    _server: Valkey,
}

impl Store {
    fn start() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Valkey::start(ValkeyConfig::default())).unwrap();
        let client = redis::Client::open(server.url()).unwrap();
        let client = runtime.block_on(client.get_multiplexed_async_connection()).unwrap();
        Self { runtime, client, _server: server }
    }

    fn run(&mut self, command: &[Vec<u8>]) -> Result<Value, redis::RedisError> {
        let mut native = redis::Cmd::new();
        for argument in command {
            native.arg(argument);
        }
        self.runtime.block_on(native.query_async(&mut self.client))
    }

    fn say(&mut self, command: &str) -> Value {
        let words: Vec<Vec<u8>> = command.split(' ').map(|word| word.into()).collect();
        self.run(&words).unwrap()
    }

    fn text(&mut self, command: &str) -> Option<String> {
        match self.say(command) {
            Value::BulkString(bytes) => Some(String::from_utf8(bytes).unwrap()),
            Value::Nil => None,
            other => panic!("{command}: {other:?}"),
        }
    }

    /// Drives one update to its end, as the component does. Answers the calls it took.
    fn apply(&mut self, update: &mut Update, monitored: &mut Monitored) -> (Step, u32) {
        for calls in 1.. {
            let reply = match self.run(&update.command(monitored)) {
                Ok(Value::Array(words)) => {
                    Reply::Answer(words.into_iter().map(|w| redis::from_redis_value(w).unwrap()).collect())
                }
                Ok(other) => panic!("{other:?}"),
                Err(error) => {
                    let code = error.code().unwrap_or_default();
                    Reply::Error(format!("{code} {}", error.detail().unwrap_or_default()))
                }
            };
            match update.reply(reply, monitored).unwrap() {
                Step::Again => {}
                step => return (step, calls),
            }
        }
        unreachable!()
    }

    fn matches(&mut self, model: &Model) -> Result<(), TestCaseError> {
        for (key, value) in model.keys() {
            prop_assert_eq!(self.text(&format!("GET {key}")), Some(value), "{}", key);
        }
        for ((ranking, product), units) in &model.ranking {
            let score: f64 =
                redis::from_redis_value(self.say(&format!("ZSCORE {ranking} {product}"))).unwrap();
            prop_assert_eq!(score, *units as f64);
        }
        for (category, prices) in &model.stream {
            let key = format!("stream_precio_producto_unico:{category}");
            let entries = self.say(&format!("XRANGE {key} - +"));
            let entries: Vec<(String, Vec<String>)> = redis::from_redis_value(entries).unwrap();
            let stored: Vec<&String> = entries.iter().map(|(_, fields)| &fields[1]).collect();
            prop_assert_eq!(stored, prices.iter().collect::<Vec<_>>());
        }
        for (category, count) in &model.count {
            let average = self.text(&format!("GET promedio_productos:{category}")).unwrap();
            prop_assert_eq!(average.parse::<f64>().unwrap(), model.units[category] as f64 / *count as f64);
        }
        Ok(())
    }
}

fn source() -> Source {
    Source { group: "g".into(), topic: "t".into(), log_id: "cluster/topic".into(), partition: 2 }
}

fn update(records: &[Vec<u8>], start: usize, end: usize) -> Update {
    let batch = records[start..end].iter().enumerate();
    let batch = batch.map(|(i, value)| ((start + i) as i64, Some(value.as_slice())));
    Update::read(source(), (start as i64, end as i64), batch)
}

fn sales() -> impl Strategy<Value = Vec<Sale>> {
    let price = prop_oneof![(0u32..=100_000_000).prop_map(|c| f64::from(c) / 100.0), 0.0..=1e6f64];
    let sale = (0i32..6, 0u8..4, price, 1i32..1_000_000).prop_map(
        |(category, product, price, quantity)| Sale {
            category,
            product_id: format!("p{product}"),
            price,
            quantity,
        },
    );
    prop::collection::vec(sale, 1..60)
}

#[test]
fn any_batches_repeats_and_overlaps_count_each_record_once() {
    let store = RefCell::new(Store::start());
    let reads = prop::collection::vec((0.0..1.0f64, 1usize..20), 0..20);
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    let result = runner.run(&(sales(), reads), |(sales, reads)| {
        let store = &mut *store.borrow_mut();
        store.say("FLUSHALL");
        let records: Vec<Vec<u8>> = sales.iter().map(Sale::to_json).collect();
        let mut model = Model::default();
        sales.iter().for_each(|sale| model.count(sale));
        let (mut monitored, mut other) = (Monitored::default(), Monitored::default());
        let mut position = 0;
        // Reads that begin anywhere up to the position, as after a crash or in a second owner;
        // then straight to the end.
        for (from, length) in reads.into_iter().chain([(1.0, records.len()); 2]) {
            let start = ((position as f64) * from) as usize;
            let end = (start + length).min(records.len()).max(start);
            if start == end {
                continue;
            }
            let known = if from < 0.5 { &mut other } else { &mut monitored };
            let (step, _) = store.apply(&mut update(&records, start, end), known);
            prop_assert_eq!(step, Step::Done);
            position = position.max(end);
        }
        if position < records.len() {
            let (step, _) = store.apply(&mut update(&records, position, records.len()), &mut monitored);
            prop_assert_eq!(step, Step::Done);
        }
        store.matches(&model)
    });
    result.unwrap();
}

#[test]
fn a_store_that_lost_its_end_asks_to_read_again() {
    let mut store = Store::start();
    let sale = Sale { category: 1, product_id: "tv".into(), price: 1.5, quantity: 1 };
    let records = vec![sale.to_json(); 10];
    let mut monitored = Monitored::default();
    assert_eq!(store.apply(&mut update(&records, 0, 4), &mut monitored).0, Step::Done);
    let (step, _) = store.apply(&mut update(&records, 6, 10), &mut monitored);
    assert_eq!(step, Step::Rewind(4));
    assert_eq!(store.text("GET total_ventas").as_deref(), Some("4"), "nothing was written");
    assert_eq!(store.apply(&mut update(&records, 4, 10), &mut monitored).0, Step::Done);
    assert_eq!(store.text("GET total_ventas").as_deref(), Some("10"));
}

#[test]
fn the_position_of_another_log_counts_as_none() {
    let mut store = Store::start();
    let sale = Sale { category: 1, product_id: "tv".into(), price: 1.5, quantity: 1 };
    let records = vec![sale.to_json(); 5];
    let mut monitored = Monitored::default();
    store.apply(&mut update(&records, 0, 5), &mut monitored);
    let new = Source { log_id: "cluster/recreated".into(), ..source() };
    let batch = records.iter().enumerate().map(|(i, v)| (i as i64, Some(v.as_slice())));
    let mut update = Update::read(new.clone(), (0, 5), batch);
    assert_eq!(store.apply(&mut update, &mut monitored).0, Step::Done);
    assert_eq!(store.text("GET total_ventas").as_deref(), Some("10"));
    let stored = store.text("HGET offset_log:g:t 2").unwrap();
    let offset = store.text("HGET offset:g:t 2").unwrap();
    assert_eq!(new.position(Some(offset.as_bytes()), Some(stored.as_bytes())), Some(5));
    assert_eq!(source().position(Some(offset.as_bytes()), Some(stored.as_bytes())), None);
}

#[test]
fn a_batch_takes_one_round_trip_once_the_script_is_known() {
    let mut store = Store::start();
    let sales = (0..1_000).map(|i| Sale {
        category: i % 5,
        product_id: format!("p{}", i % 50),
        price: 9.99,
        quantity: 1,
    });
    let records: Vec<Vec<u8>> = sales.map(|sale| sale.to_json()).collect();
    let mut monitored = Monitored::default();
    let (_, first) = store.apply(&mut update(&records, 0, 500), &mut monitored);
    assert_eq!(first, 2, "the script's source goes once");
    let (_, next) = store.apply(&mut update(&records, 500, 1_000), &mut monitored);
    assert_eq!(next, 1);
    // Another instance knows no monitored products yet.
    let more: Vec<Vec<u8>> = records.iter().chain(&records).cloned().collect();
    let (_, fresh) = store.apply(&mut update(&more, 1_000, 2_000), &mut Monitored::default());
    assert!(fresh <= 3, "{fresh}");
}

#[test]
fn records_that_are_no_sales_are_told_and_passed_over() {
    let mut store = Store::start();
    let sale = Sale { category: 1, product_id: "tv".into(), price: 1.5, quantity: 1 }.to_json();
    let records = [(7, Some(sale.as_slice())), (8, None), (9, Some(b"{".as_slice()))];
    let mut update = Update::read(source(), (7, 10), records);
    assert_eq!(store.apply(&mut update, &mut Monitored::default()).0, Step::Done);
    let offsets: Vec<i64> = update.rejections().iter().map(|r| r.offset).collect();
    assert_eq!(offsets, [8, 9]);
    assert_eq!(store.text("HGET offset:g:t 2").as_deref(), Some("10"));
    assert_eq!(store.text("GET total_ventas").as_deref(), Some("1"));
}

#[test]
fn a_sum_that_would_not_fit_is_refused_whole() {
    let mut store = Store::start();
    store.say("SET suma_precio_micros:Ropa 9199999999999999999");
    let sale = Sale { category: 2, product_id: "tv".into(), price: 1e6, quantity: 1 };
    let records = [(0, Some(sale.to_json()))];
    let batch = records.iter().map(|(offset, value)| (*offset, value.as_deref()));
    let mut update = Update::read(source(), (0, 1), batch);
    let mut monitored = Monitored::default();
    let mut calls = 0;
    let error = loop {
        calls += 1;
        assert!(calls < 4);
        let reply = match store.run(&update.command(&monitored)) {
            Ok(value) => panic!("{value:?}"),
            Err(error) => Reply::Error(format!(
                "{} {}",
                error.code().unwrap_or_default(),
                error.detail().unwrap_or_default()
            )),
        };
        match update.reply(reply, &mut monitored) {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("OVERFLOW"), "{error}");
    assert_eq!(store.text("GET total_ventas"), None);
}
