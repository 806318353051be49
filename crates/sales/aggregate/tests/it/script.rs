//! The return values of the script, case by case, with a real Valkey.

use std::collections::BTreeMap;

use aggregate::{
    Error, Fingerprint, Known, OffsetRange, RetentionLimits, STREAM_LENGTH, Source, Step, Stored,
};
use sale::Sale;

use crate::support::content::Content;
use crate::support::model::{Model, Record};
use crate::support::store::Store;
use crate::support::{
    Line, batch, keyed_batch, log_of, read, read_range, source, television, timed,
};

#[test]
fn writes_the_contracts_keys() {
    let mut store = Store::start();
    let sale = |category, product: &str, price, quantity| {
        Some(Sale { category, product_id: product.into(), price, quantity }.to_json())
    };
    let log = [sale(1, "tv", 19.99, 2), sale(1, "radio", 0.01, 1), sale(9, "taza", 7.0, 1)];
    store.apply(batch(&log, 0, 3), &mut Known::default());
    for (key, value) in [
        ("contador:Electronica", "2"),
        ("suma_cantidad:Electronica", "3"),
        ("suma_precio:Electronica", "20"),
        ("suma_precio:Otros", "7"),
        ("promedio_productos:Electronica", "1.5"),
        ("promedio_precio_tag:Electronica", "10"),
        ("producto_monitoreado_nombre:Electronica", "tv"),
        ("total_ventas", "3"),
        ("precio_max_global", "19.99"),
        ("precio_min_global", "0.01"),
    ] {
        assert_eq!(store.run::<Option<String>>(&format!("GET {key}")).as_deref(), Some(value));
    }
    assert_eq!(store.run::<f64>("ZSCORE ranking_productos taza"), 1.0);
    assert_eq!(store.run::<f64>("ZSCORE ranking_productos_cat:Electronica tv"), 2.0);
    assert_eq!(store.run::<i64>("HGET offset:g:t 2"), 3);
    assert_eq!(revenue(&mut store), revenue_of("39.99", "2"));
}

#[test]
fn a_store_that_lost_its_last_updates_requests_a_rewind() {
    let mut store = Store::start();
    let log = log_of(&television(), 10);
    let mut names = Known::default();
    assert_eq!(store.apply(batch(&log, 0, 4), &mut names).0, Step::Done);
    let before = store.contents();
    assert_eq!(store.apply(batch(&log, 6, 10), &mut names).0, Step::Rewind(4));
    assert_eq!(store.contents(), before, "nothing was written");
}

#[test]
fn all_rejections_of_a_batch_are_reported_also_those_that_were_applied_before() {
    let mut store = Store::start();
    let (sale, mut names) = (television().to_json(), Known::default());
    let log = [Some(b"{}".to_vec()), Some(sale.clone()), Some(b"{}".to_vec()), Some(sale)];
    assert_eq!(store.apply(batch(&log, 0, 2), &mut names).0, Step::Done);
    let mut update = batch(&log, 0, 4);
    assert_eq!(store.call(&mut update, &mut names), Ok(Step::Run));
    assert_eq!(store.call(&mut update, &mut names), Ok(Step::Done));
    let rejected: Vec<_> = update.rejections().iter().map(|rejection| rejection.offset).collect();
    assert_eq!(rejected, [0, 2]);
    assert_eq!(store.run::<i64>("GET total_ventas"), 2);
}

#[test]
fn the_position_of_another_log_counts_as_none() {
    let mut store = Store::start();
    let log = log_of(&television(), 5);
    let mut names = Known::default();
    store.apply(batch(&log, 0, 5), &mut names);
    let recreated = Source { log_id: "cluster/recreated".into(), ..source() };
    let lines: Vec<Line> = log.into_iter().map(|value| (None, value)).collect();
    // A consumer that still reads the old log finds no position, and cannot start one.
    let late = read(recreated.clone(), &lines, 3, 5, RetentionLimits::default());
    assert_eq!(store.apply(late, &mut names).0, Step::Lost);
    let update = read(recreated.clone(), &lines, 0, 5, RetentionLimits::default());
    assert_eq!(store.apply(update, &mut names).0, Step::Done);
    assert_eq!(store.run::<i64>("GET total_ventas"), 10);
    assert_eq!(position(&mut store, &recreated), Some(5));
    assert_eq!(position(&mut store, &source()), None);
}

#[test]
fn without_a_reported_log_the_stored_one_is_kept() {
    let mut store = Store::start();
    let log = log_of(&television(), 5);
    let mut names = Known::default();
    store.apply(batch(&log, 0, 3), &mut names);
    let nameless = Source { log_id: String::new(), ..source() };
    assert_eq!(position(&mut store, &nameless), Some(3));
    let lines: Vec<Line> = log.into_iter().map(|value| (None, value)).collect();
    store.apply(read(nameless, &lines, 3, 5, RetentionLimits::default()), &mut names);
    assert_eq!(store.run::<String>("HGET offset_log:g:t 2"), "cluster/topic");
    assert_eq!(position(&mut store, &source()), Some(5));
}

#[test]
fn a_store_that_lost_everything_reports_it() {
    let mut store = Store::start();
    let log = log_of(&television(), 10);
    let mut names = Known::default();
    store.apply(batch(&log, 0, 4), &mut names);
    store.run::<()>("FLUSHALL");
    assert_eq!(store.apply(batch(&log, 4, 10), &mut names).0, Step::Lost);
    assert_eq!(store.run::<usize>("DBSIZE"), 0, "nothing was written");
    assert_eq!(store.apply(batch(&log, 0, 10), &mut names).0, Step::Done);
    assert_eq!(store.run::<i64>("GET total_ventas"), 10);
}

/// A log with one sale for each key.
fn keyed(keys: &[&str]) -> Vec<Line> {
    keys.iter().map(|key| (Some((*key).to_owned()), Some(television().to_json()))).collect()
}

#[test]
fn a_sale_that_is_in_the_log_twice_is_counted_once() {
    let mut store = Store::start();
    let mut names = Known::default();
    let log = keyed(&["a", "b", "b", "a", "c"]);
    for (start, end, total) in [(0, 2, 2), (2, 3, 2), (3, 5, 3)] {
        let update = keyed_batch(&log, start, end, RetentionLimits::default());
        assert_eq!(store.apply(update, &mut names).0, Step::Done);
        assert_eq!(store.run::<i64>("GET total_ventas"), total);
        assert_eq!(store.run::<usize>("HGET offset:g:t 2"), end);
    }
    assert_eq!(store.run::<i64>("GET suma_cantidad:Electronica"), 3);
}

#[test]
fn a_key_is_forgotten_after_the_maximum_number_of_others() {
    let mut store = Store::start();
    let mut names = Known::default();
    let keys: Vec<String> = (0..30).map(|number| format!("k{number}")).collect();
    let mut log = keyed(&keys.iter().map(String::as_str).collect::<Vec<_>>());
    log.extend(keyed(&["k20", "k0"]));
    let limits = RetentionLimits { keys_max: 10, ..RetentionLimits::default() };
    for offset in 0..log.len() {
        store.apply(keyed_batch(&log, offset, offset + 1, limits), &mut names);
        let remembered =
            store.run::<usize>("SCARD seen:g:t:2") + store.run::<usize>("SCARD seen_before:g:t:2");
        assert!(remembered <= 20, "{remembered}");
    }
    assert_eq!(store.run::<i64>("GET total_ventas"), 31, "k20 was remembered, k0 was not");
}

#[test]
fn a_key_is_forgotten_after_the_window() {
    let mut store = Store::start();
    let mut names = Known::default();
    // Records are written one second apart.
    let log = keyed(&["a", "b", "c", "d", "e", "a", "d"]);
    let limits = RetentionLimits { window_s: 2, ..RetentionLimits::default() };
    for offset in 0..log.len() {
        store.apply(keyed_batch(&log, offset, offset + 1, limits), &mut names);
    }
    assert_eq!(store.run::<i64>("GET total_ventas"), 6, "d was remembered, a was not");
}

#[test]
fn no_timestamp_makes_the_store_forget_a_sale_that_was_just_counted() {
    const NOW: i64 = 1_800_000_000_000;
    const MONTH: i64 = 30 * 86_400_000;
    for strange in [None, Some(0), Some(-1), Some(NOW - MONTH), Some(NOW + MONTH), Some(i64::MAX)] {
        let mut store = Store::start();
        let mut names = Known::default();
        let log = keyed(&["a", "b", "a", "c", "a", "b"]);
        for (offset, time) in [Some(NOW), strange, Some(NOW), strange, Some(NOW), Some(NOW + 1)]
            .into_iter()
            .enumerate()
        {
            store.apply(timed(&log, offset, time), &mut names);
        }
        assert_eq!(store.run::<i64>("GET total_ventas"), 3, "{strange:?}");
    }
}

#[test]
fn records_without_a_time_are_forgotten_by_number_only() {
    let mut store = Store::start();
    let mut names = Known::default();
    let log = keyed(&["a", "b", "c", "a", "b", "c"]);
    for offset in 0..log.len() {
        store.apply(timed(&log, offset, None), &mut names);
    }
    assert_eq!(store.run::<i64>("GET total_ventas"), 3);
    assert_eq!(store.run::<i64>("SCARD seen:g:t:2"), 3);
}

#[test]
fn all_keys_of_a_large_batch_are_remembered() {
    let mut store = Store::start();
    let mut names = Known::default();
    let keys: Vec<String> = (0..5_000).map(|number| format!("k{number}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let log = keyed(&[keys.as_slice(), keys.as_slice()].concat());
    for (start, end) in [(0, 5_000), (5_000, 10_000)] {
        store.apply(keyed_batch(&log, start, end, RetentionLimits::default()), &mut names);
        assert_eq!(store.run::<i64>("GET total_ventas"), 5_000);
    }
    assert_eq!(store.run::<i64>("SCARD seen:g:t:2"), 5_000);
}

fn position(store: &mut Store, source: &Source) -> Option<i64> {
    match store.stored(source) {
        Stored::Position(position) => Some(position),
        stored => {
            assert_eq!(stored, Stored::Nothing);
            None
        }
    }
}

#[test]
fn a_batch_takes_one_round_trip_if_the_script_and_the_products_are_known() {
    let mut store = Store::start();
    let sale = |i: i32| {
        let product_id = format!("p{}", i % 50);
        let sale = Sale { category: i % 5, product_id, price: 9.99, quantity: 1 };
        (Some(format!("key-{i}")), Some(sale.to_json()))
    };
    let log: Vec<Line> = (0..3_000).map(sale).collect();
    let batch = |start, end| keyed_batch(&log, start, end, RetentionLimits::default());
    let mut names = Known::default();
    assert_eq!(store.apply(batch(0, 1_000), &mut names).1, 2, "the source goes once");
    assert_eq!(store.apply(batch(1_000, 2_000), &mut names).1, 1);
    // The worst case: a restarted store, a new instance, and half of the batch applied.
    store.run::<()>("SCRIPT FLUSH");
    let (step, calls) = store.apply(batch(1_507, 2_507), &mut Known::default());
    assert_eq!((step, calls), (Step::Done, 3));
    assert_eq!(store.run::<i64>("GET total_ventas"), 2_507);
}

#[test]
fn monitored_products_of_another_store_are_corrected() {
    let mut store = Store::start();
    let mut names = Known::default();
    store.apply(batch(&log_of(&television(), 1), 0, 1), &mut names);
    store.run::<()>("FLUSHALL");
    let radio = Sale { product_id: "radio".into(), ..television() };
    store.apply(batch(&log_of(&radio, 1), 0, 1), &mut names);
    assert_eq!(store.run::<String>("GET producto_monitoreado_nombre:Electronica"), "radio");
    assert_eq!(store.run::<usize>("XLEN stream_precio_producto_unico:Electronica"), 1);
}

#[test]
fn records_that_are_not_sales_are_rejected_and_skipped() {
    let mut store = Store::start();
    let log = [Some(television().to_json()), None, Some(b"{".to_vec())];
    let mut update = batch(&log, 0, 3);
    let mut names = Known::default();
    while store.call(&mut update, &mut names).unwrap() != Step::Done {}
    assert_eq!(update.rejections().iter().map(|r| r.offset).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(store.run::<i64>("HGET offset:g:t 2"), 3);
    assert_eq!(store.run::<i64>("GET total_ventas"), 1);
    // A batch without any sale does not stop the partition either.
    assert_eq!(store.apply(batch(&[&log[..], &[None]].concat(), 3, 4), &mut names).0, Step::Done);
    assert_eq!(store.run::<i64>("HGET offset:g:t 2"), 4);
}

/// Batches whose sizes are not multiples of 100: Valkey stores a stream in nodes of 100 entries,
/// and approximate trimming removes only whole nodes.
#[test]
fn the_stream_keeps_its_last_prices() {
    let mut store = Store::start();
    let sale = |i: usize| Some(Sale { price: i as f64, ..television() }.to_json());
    let length = STREAM_LENGTH as usize;
    let log: Vec<_> = (0..3 * length).map(sale).collect();
    let mut names = Known::default();
    let ends = [1, 999, 1_000, 1_001, 1_078, 1_085, 2_950, 3 * length];
    let mut start = 0;
    for end in ends {
        store.apply(batch(&log, start, end), &mut names);
        start = end;
        let Content::Prices(prices) =
            store.contents()["stream_precio_producto_unico:Electronica"].clone()
        else {
            panic!("no stream")
        };
        let kept = end.saturating_sub(length)..end;
        assert_eq!(prices, kept.map(|i| i as f64).collect::<Vec<_>>(), "after {end}");
    }
}

#[test]
fn sums_are_exact_where_doubles_are_not() {
    let mut store = Store::start();
    store.run::<()>("SET suma_precio_micros:Electronica 9007199254740993");
    store.run::<()>("SET suma_precio:Electronica 9007199254.740993");
    let dear = Sale { price: 0.000001, ..television() };
    store.apply(batch(&log_of(&dear, 1), 0, 1), &mut Known::default());
    assert_eq!(store.run::<String>("GET suma_precio:Electronica"), "9007199254.740994");
    assert_eq!(store.run::<String>("GET suma_precio_micros:Electronica"), "9007199254740994");
}

/// The stored revenue of Electronica.
fn revenue(store: &mut Store) -> BTreeMap<String, String> {
    store.run("HGETALL ingresos:Electronica")
}

fn revenue_of(total: &str, sales: &str) -> BTreeMap<String, String> {
    [("total".to_owned(), total.to_owned()), ("ventas".to_owned(), sales.to_owned())].into()
}

#[test]
fn a_revenue_is_exact_far_beyond_64_bits() {
    let sale = |price, quantity| Sale { price, quantity, ..television() };
    let largest = sale(1e6, 1_000_000);
    let mut store = Store::start();
    for (stored, sale, total) in [
        ("0", sale(0.0, 1), "0"),
        ("0", sale(0.000001, 1), "0.000001"),
        ("999999.999999", sale(0.000001, 1), "1000000"),
        ("0.5", sale(0.25, 2), "1"),
        ("1000000", sale(0.0, 7), "1000000"),
        ("9007199254740992.999999", sale(0.000003, 3), "9007199254740993.000008"),
        ("99999999999999999999.999999", sale(1.0, 1), "100000000000000000000.999999"),
        ("0", largest.clone(), "1000000000000"),
        ("999999998999999999999.999999", largest, "999999999999999999999.999999"),
    ] {
        store.run::<()>("FLUSHALL");
        store.run::<()>("SET contador:Electronica 7");
        store.run::<()>("SET suma_precio_micros:Electronica 0");
        store.run::<()>(&format!("HSET ingresos:Electronica total {stored} ventas 7"));
        store.apply(batch(&log_of(&sale, 1), 0, 1), &mut Known::default());
        assert_eq!(revenue(&mut store), revenue_of(total, "8"), "{stored} and {sale:?}");
    }
}

#[test]
fn a_revenue_that_would_not_include_all_sales_is_not_stored() {
    let mut store = Store::start();
    let log = log_of(&television(), 4);
    let mut names = Known::default();
    // An earlier version counts the first sale.
    store.apply(batch(&log, 0, 1), &mut names);
    store.run::<()>("DEL ingresos:Electronica");
    store.apply(batch(&log, 1, 2), &mut names);
    assert_eq!(revenue(&mut store), BTreeMap::new());
    // Another category has its first sale after the upgrade.
    let lines = [&log[..2], &log_of(&Sale { category: 2, ..television() }, 1)[..]].concat();
    store.apply(batch(&lines, 2, 3), &mut names);
    assert_eq!(store.run::<Option<String>>("HGET ingresos:Ropa total").as_deref(), Some("1.5"));
    // The log is counted again.
    store.run::<()>("FLUSHALL");
    store.apply(batch(&log, 0, 2), &mut names);
    assert_eq!(revenue(&mut store), revenue_of("3", "2"));
    // An earlier version counts the third sale while this one counts the others.
    store.run::<()>("INCRBY contador:Electronica 1");
    store.run::<()>("HSET offset:g:t 2 3");
    store.apply(batch(&log, 3, 4), &mut names);
    assert_eq!(store.run::<i64>("GET contador:Electronica"), 4);
    assert_eq!(revenue(&mut store), BTreeMap::new());
}

#[test]
fn an_update_that_cannot_be_written_completely_writes_nothing() {
    let mut store = Store::start();
    let dear = Sale { category: 2, price: 1e6, ..television() };
    let log = [(Some("key".to_owned()), Some(dear.to_json()))];
    for (trouble, code) in [
        ("SET suma_precio_micros:Ropa 9199999999999999999", "OVERFLOW"),
        ("SET suma_cantidad:Ropa 9223372036854775807", "OVERFLOW"),
        ("SET contador:Ropa many", "WRONGTYPE"),
        ("SET total_ventas 1.5", "WRONGTYPE"),
        ("SET ranking_productos x", "WRONGTYPE"),
        ("SET ranking_productos_cat:Ropa x", "WRONGTYPE"),
        ("SET stream_precio_producto_unico:Ropa x", "WRONGTYPE"),
        ("SET offset:g:t x", "WRONGTYPE"),
        ("SET offset_log:g:t x", "WRONGTYPE"),
        ("HSET offset:g:t 2 x", "WRONGTYPE"),
        ("SET seen:g:t:2 x", "WRONGTYPE"),
        ("SET seen_before:g:t:2 x", "WRONGTYPE"),
        ("SET seen_since:g:t x", "WRONGTYPE"),
        ("HSET precio_max_global a b", "WRONGTYPE"),
        ("HSET producto_monitoreado_nombre:Ropa a b", "WRONGTYPE"),
        ("SET ingresos:Ropa x", "WRONGTYPE"),
        ("HSET ingresos:Ropa ventas 1 total 1e3", "WRONGTYPE"),
        ("HSET ingresos:Ropa ventas 1 total 0.1234567891", "WRONGTYPE"),
        ("HSET ingresos:Ropa ventas 1 total 1000000000000000000000000000", "WRONGTYPE"),
        ("HSET ingresos:Ropa ventas 1 total 999999999999999999999999999", "OVERFLOW"),
    ] {
        store.run::<()>("FLUSHALL");
        store.run::<()>("SET contador:Ropa 1");
        store.run::<()>(trouble);
        let before = store.run::<usize>("DBSIZE");
        let update = keyed_batch(&log, 0, 1, RetentionLimits::default());
        let refused = store.try_apply(update, &mut Known::default());
        let Err(Error::Stored(text)) = refused else { panic!("{trouble}: {refused:?}") };
        assert!(text.contains(code), "{trouble}: {text}");
        assert_eq!(store.run::<usize>("DBSIZE"), before, "{trouble}");
    }
}

/// The keys that the original system writes for two sales of a television.
const ORIGINAL: [&str; 10] = [
    "SET producto_monitoreado_nombre:Electronica tv",
    "XADD stream_precio_producto_unico:Electronica * precio 10000.1",
    "SET contador:Electronica 2",
    "SET suma_cantidad:Electronica 3",
    "SET suma_precio:Electronica 10000.20000000000000036",
    "SET total_ventas 2",
    "ZADD ranking_productos 3 tv",
    "ZADD ranking_productos_cat:Electronica 3 tv",
    "SET precio_max_global 10000.1",
    "SET precio_min_global 0.1",
];

#[test]
fn counts_of_another_program_are_continued_after_they_were_adopted() {
    let mut store = Store::start();
    assert_eq!(store.stored(&source()), Stored::Nothing);
    ORIGINAL.iter().for_each(|command| store.run(command));
    assert_eq!(store.stored(&source()), Stored::Foreign);
    store.write(&source().adopt_command());
    assert_eq!(store.stored(&source()), Stored::Adopted);
    // The other program has read up to offset 2.
    let mut log = log_of(&television(), 2);
    log.extend(log_of(&Sale { price: 0.05, quantity: 2, ..television() }, 2));
    let lines: Vec<Line> = log.into_iter().map(|value| (None, value)).collect();
    let range = OffsetRange { start: 2, end: 4, expected_position: None };
    let batch = read_range(source(), &lines, range, RetentionLimits::default());
    assert_eq!(store.apply(batch, &mut Known::default()).0, Step::Done);
    for (key, value) in [
        ("contador:Electronica", "4"),
        ("suma_cantidad:Electronica", "7"),
        ("suma_precio:Electronica", "10000.3"),
        ("suma_precio_micros:Electronica", "10000300000"),
        ("promedio_productos:Electronica", "1.75"),
        ("promedio_precio_tag:Electronica", "2500.075"),
        ("total_ventas", "4"),
        ("precio_max_global", "10000.1"),
        ("precio_min_global", "0.05"),
    ] {
        assert_eq!(store.run::<Option<String>>(&format!("GET {key}")).as_deref(), Some(value));
    }
    assert_eq!(store.run::<f64>("ZSCORE ranking_productos tv"), 7.0);
    assert_eq!(store.run::<usize>("XLEN stream_precio_producto_unico:Electronica"), 3);
    assert_eq!(revenue(&mut store), BTreeMap::new(), "it would not include all sales");
    assert_eq!(store.stored(&source()), Stored::Position(4));
    // Partitions that are read later are continued, too. Other topics and groups are counted from
    // their beginning.
    assert_eq!(store.stored(&Source { partition: 3, ..source() }), Stored::Adopted);
    assert_eq!(store.stored(&Source { topic: "other".into(), ..source() }), Stored::Nothing);
    store.run::<()>("FLUSHALL");
    assert_eq!(store.stored(&source()), Stored::Nothing);
}

/// What an earlier version, whose script knew sales, has stored for three records.
#[test]
fn a_store_of_an_earlier_version_is_continued() {
    let mut store = Store::start();
    for command in [
        "SET producto_monitoreado_nombre:Electronica tv",
        "XADD stream_precio_producto_unico:Electronica * precio 1.5",
        "SET contador:Electronica 3",
        "SET suma_cantidad:Electronica 3",
        "SET suma_precio_micros:Electronica 4500000",
        "SET suma_precio:Electronica 4.5",
        "SET promedio_productos:Electronica 1",
        "SET promedio_precio_tag:Electronica 1.5",
        "HSET ingresos:Electronica total 4.5 ventas 3",
        "SET total_ventas 3",
        "ZADD ranking_productos 3 tv",
        "ZADD ranking_productos_cat:Electronica 3 tv",
        "SET precio_max_global 1.5",
        "SET precio_min_global 1.5",
        "HSET offset:g:t 2 3",
        "HSET offset_log:g:t 2 cluster/topic",
        "HSET seen_since:g:t 2 0",
    ] {
        store.run::<()>(command);
    }
    let fingerprint = Fingerprint::new(b"b", &television().to_json()).to_bytes();
    store.write(&[b"SADD".to_vec(), b"seen:g:t:2".to_vec(), fingerprint.to_vec()]);
    assert_eq!(store.stored(&source()), Stored::Position(3));
    // The third record is read again, and the fourth one repeats an earlier one.
    let log = keyed(&["a", "b", "c", "b", "d"]);
    let batch = keyed_batch(&log, 2, 5, RetentionLimits::default());
    assert_eq!(store.apply(batch, &mut Known::default()).0, Step::Done);
    let sales = Record::Sale {
        category: 1,
        product: "tv".into(),
        micros: 1_500_000,
        quantity: 1,
        key: None,
    };
    let mut expected = Model::contents(&vec![sales; 4]);
    let position = Content::Fields([("2".to_owned(), "5".to_owned())].into());
    expected.insert("offset:g:t".into(), position);
    // One price of the earlier version is in the stream.
    let prices = Content::Prices(vec![1.5; 2]);
    expected.insert("stream_precio_producto_unico:Electronica".into(), prices);
    assert_eq!(store.contents(), expected);
}

#[test]
fn a_user_without_one_of_the_commands_writes_nothing() {
    let mut store = Store::start();
    let log = keyed(&["key"]);
    let update = || keyed_batch(&log, 0, 1, RetentionLimits::default());
    for command in ["set", "hset", "hmget", "zadd", "zmscore", "xadd", "sadd", "smismember"] {
        store.run::<()>(&format!("ACL SETUSER shop on >secret ~* +@all -{command}"));
        store.login("shop", "secret");
        let refused = store.try_apply(update(), &mut Known::default());
        let Err(Error::Refused(text)) = refused else { panic!("{command}: {refused:?}") };
        assert!(text.to_lowercase().contains(command), "{text}");
        store.run::<()>("ACL SETUSER shop +@all");
        assert_eq!(store.run::<usize>("DBSIZE"), 0, "{command}");
    }
    assert_eq!(store.apply(update(), &mut Known::default()).0, Step::Done);
}
