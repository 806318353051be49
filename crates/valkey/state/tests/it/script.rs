//! The return values of the script, case by case, with a real Valkey.

use spin_kafka_state::{Error, Read, RetentionLimits, Source, State, Step, Transaction};

use crate::store::{Content, PREFIX, Store, batch, batch_with, source};

/// What a function does.
type Change = fn(&mut State);

/// Records without idempotency keys.
fn plain(count: usize) -> Vec<Option<String>> {
    vec![None; count]
}

/// Adds one to `count` for each included record of a log of at most 100.
fn count(transaction: &Transaction, state: &mut State) {
    let included = (0..100).filter(|offset| transaction.includes(*offset)).count();
    state.increment("count", included as i64);
}

/// Applies the records from `start` to `end`, and counts them.
fn apply(store: &mut Store, source: Source, start: usize, end: usize) -> Step {
    let run = |transaction: &Transaction, state: &mut State| {
        let included = (0..end as i64).filter(|offset| transaction.includes(*offset)).count();
        state.increment("count", included as i64);
    };
    store.apply(&mut batch(source, &plain(end), start, end), run).unwrap().0
}

fn counted(store: &mut Store) -> Option<i64> {
    store.run(&format!("GET {PREFIX}count"))
}

/// The error of a batch whose function makes these changes.
fn refused(store: &mut Store, change: impl Fn(&mut State)) -> Error {
    refused_at(store, 0, change)
}

fn refused_at(store: &mut Store, start: usize, change: impl Fn(&mut State)) -> Error {
    let run = |_: &Transaction, state: &mut State| change(state);
    store.apply(&mut batch(source(), &plain(start + 1), start, start + 1), run).unwrap_err()
}

#[test]
fn a_store_that_lost_updates_requests_them_again() {
    let mut store = Store::start();
    assert_eq!(apply(&mut store, source(), 0, 4), Step::Done);
    assert_eq!(apply(&mut store, source(), 6, 10), Step::Rewind(4));
    assert_eq!(counted(&mut store), Some(4), "nothing was written");
    store.run::<()>("FLUSHALL");
    assert_eq!(apply(&mut store, source(), 4, 10), Step::Lost);
    assert_eq!(store.run::<usize>("DBSIZE"), 0, "nothing was written");
}

#[test]
fn the_position_of_another_log_counts_as_none() {
    let mut store = Store::start();
    apply(&mut store, source(), 0, 5);
    let recreated = Source { log_id: "cluster/recreated".into(), ..source() };
    // A consumer that still reads the old log finds no position, and cannot start one.
    assert_eq!(apply(&mut store, recreated.clone(), 3, 5), Step::Lost);
    assert_eq!(apply(&mut store, recreated.clone(), 0, 5), Step::Done);
    assert_eq!(counted(&mut store), Some(10));
    assert_eq!(store.position(&recreated), Some(5));
    assert_eq!(store.position(&source()), None);
    // Without a reported log the stored one is kept.
    let nameless = Source { log_id: String::new(), ..source() };
    assert_eq!(apply(&mut store, nameless, 5, 6), Step::Done);
    assert_eq!(store.position(&recreated), Some(6));
}

#[test]
fn another_version_of_a_state_is_built_from_the_beginning() {
    let mut store = Store::start();
    apply(&mut store, source(), 0, 5);
    let namespace = spin_kafka_state::Namespace::new("tests", 2).unwrap();
    let changed = Source { namespace, ..source() };
    assert_eq!(store.position(&changed), None);
    assert_eq!(apply(&mut store, changed.clone(), 0, 7), Step::Done);
    assert_eq!(store.run::<i64>("GET {tests:2}:count"), 7);
    assert_eq!(counted(&mut store), Some(5), "the other version is not changed");
}

#[test]
fn two_owners_at_once_count_each_record_once() {
    let mut store = Store::start();
    let mut owners = [15, 20].map(|end| batch(source(), &plain(end), 0, end));
    let ends = [15, 20];
    let mut steps = [Step::Run, Step::Run];
    while steps.iter().any(|step| matches!(step, Step::Run | Step::Send)) {
        for owner in 0..2 {
            if matches!(steps[owner], Step::Run | Step::Send) {
                let mut state = State::default();
                let offsets = (0..ends[owner]).filter(|o| owners[owner].includes(*o as i64));
                state.increment("count", offsets.count() as i64);
                steps[owner] = store.call(&mut owners[owner], &state).unwrap();
            }
        }
    }
    assert_eq!(steps, [Step::Done, Step::Done]);
    assert_eq!(counted(&mut store), Some(20));
}

#[test]
fn a_repeated_record_is_applied_once_until_its_key_is_forgotten() {
    let mut store = Store::start();
    let limits = RetentionLimits { keys_max: 3, window_s: 86_400 };
    let mut keys: Vec<_> = ["a", "b", "b", "a"].map(|key| Some(key.to_owned())).into();
    keys.extend((0..8).map(|key| Some(format!("other{key}"))));
    // The first time, it is in the older generation.
    keys.extend(["a", "other8", "a"].map(|key| Some(key.to_owned())));
    for (start, end, total) in
        [(0, 2, 2), (2, 4, 2), (4, 8, 6), (8, 12, 10), (12, 13, 10), (13, 14, 11), (14, 15, 12)]
    {
        let mut batch = batch_with(source(), &keys, start, end, limits);
        let run = |transaction: &Transaction, state: &mut State| {
            let included = (start..end).filter(|offset| transaction.includes(*offset as i64));
            state.increment("count", included.count() as i64);
        };
        assert_eq!(store.apply(&mut batch, run).unwrap().0, Step::Done);
        assert_eq!(counted(&mut store), Some(total), "{start} to {end}");
    }
}

#[test]
fn a_change_of_a_value_that_was_read_runs_the_function_again() {
    let mut store = Store::start();
    let reads =
        || [Read::value("text"), Read::field("hash", "f"), Read::score("scores", "m")].into_iter();
    let state_of = |words: [Option<&str>; 3], by: i64| {
        let mut state = State::default();
        for (read, value) in reads().zip(words) {
            state.record_read(read, value.map(|value| value.into()));
        }
        state.increment("count", by);
        state
    };
    let mut transaction = batch(source(), &plain(1), 0, 1);
    for (changed_by, stale) in [
        (format!("SET {PREFIX}text new"), [None, None, None]),
        (format!("HSET {PREFIX}hash f 1"), [Some("new"), None, None]),
        (format!("ZADD {PREFIX}scores 1.5 m"), [Some("new"), Some("1"), None]),
        (format!("ZADD {PREFIX}scores 2 m"), [Some("new"), Some("1"), Some("1.5")]),
        (format!("DEL {PREFIX}text"), [Some("new"), Some("1"), Some("2")]),
    ] {
        store.run::<()>(&changed_by);
        let state = state_of(stale, 1);
        let mut step = store.call(&mut transaction, &state).unwrap();
        if step == Step::Send {
            step = store.call(&mut transaction, &state).unwrap();
        }
        assert_eq!(step, Step::Run, "{changed_by}");
        let stored = &transaction.stored_values()[0];
        let is_deleted = changed_by.starts_with("DEL");
        assert_eq!(stored.as_deref(), Some(&b"new"[..]).filter(|_| !is_deleted));
    }
    // A client formats the score differently than the script.
    let state = state_of([None, Some("1"), Some("2.0")], 7);
    assert_eq!(store.call(&mut transaction, &state), Ok(Step::Done));
    assert_eq!(counted(&mut store), Some(7));
}

#[test]
fn long_texts_that_are_not_utf_8_are_stored_and_compared() {
    let mut store = Store::start();
    for (index, length) in [255, 256, 70_000].into_iter().enumerate() {
        let text = vec![0xff; length];
        let run = |_: &Transaction, state: &mut State| {
            state.set("value", text.clone());
            state.hash("hash").set(&text, text.clone());
            state.add_score("scores", &text, 1.5);
        };
        let start = 2 * index;
        let mut first = batch(source(), &plain(start + 1), start, start + 1);
        assert_eq!(store.apply(&mut first, run).unwrap().0, Step::Done);
        let reads = [
            (Read::value("value"), &text[..]),
            (Read::field("hash", text.clone()), &text),
            (Read::score("scores", text.clone()), b"1.5"),
        ];
        for (read, expected) in &reads {
            assert!(store.read(read).as_deref() == Some(*expected), "{length} bytes");
        }
        let run = |_: &Transaction, state: &mut State| {
            for (read, expected) in &reads {
                state.record_read(read.clone(), Some(expected.to_vec()));
            }
            state.increment("count", 1);
        };
        let mut second = batch(source(), &plain(start + 2), start + 1, start + 2);
        let result = store.apply(&mut second, run);
        assert_eq!(result, Ok((Step::Done, 1)), "{length} bytes: the values are equal");
    }
}

#[test]
fn derived_values_depend_on_the_values_after_the_batch() {
    let mut store = Store::start();
    store.run::<()>(&format!("SET {PREFIX}sum 0.5"));
    store.run::<()>(&format!("HSET {PREFIX}complete of 1"));
    let run = |_: &Transaction, state: &mut State| {
        state.add("sum", "1.25".parse().unwrap());
        state.increment("count", 3);
        state.increment("nothing", 0);
        state.maximum("largest", 1.0);
        state.quotient("average", "sum", "count");
        state.quotient("undefined", "sum", "nothing");
        state.quotient("scaled", "largest", "count");
        state.hash("complete").increment("of", 2);
        state.hash("complete").delete_unless_equal("of", "count");
        state.hash("incomplete").increment("of", 2);
        state.hash("incomplete").delete_unless_equal("of", "count");
    };
    store.run::<()>(&format!("SET {PREFIX}undefined 7"));
    store.run::<()>(&format!("SET {PREFIX}largest 3"));
    assert_eq!(store.apply(&mut batch(source(), &plain(1), 0, 1), run).unwrap().0, Step::Done);
    let contents = store.contents();
    let text = |key: &str| match contents.get(key) {
        Some(Content::Text(text)) => Some(text.as_str()),
        _ => None,
    };
    assert_eq!(text("average"), Some("0.5833333333333334"));
    assert_eq!((text("undefined"), text("scaled")), (None, Some("1")), "3 is the maximum");
    assert!(contents.contains_key("complete") && !contents.contains_key("incomplete"));
}

#[test]
fn a_key_of_another_type_is_named_and_nothing_is_written() {
    let mut store = Store::start();
    let cases: [(&str, Change); 11] = [
        ("HSET KEY f 1", |state| state.increment("key", 1)),
        ("SET KEY x", |state| state.increment("key", 1)),
        ("SET KEY 1e3", |state| state.add("key", 1.into())),
        ("SET KEY x", |state| state.minimum("key", 1.0)),
        ("SET KEY 1", |state| state.hash("key").increment("f", 1)),
        ("HSET KEY f x", |state| state.hash("key").increment("f", 1)),
        ("SET KEY 1", |state| state.add_score("key", "m", 1.0)),
        ("SET KEY 1", |state| state.append("key", 5, &[("f", "v")])),
        ("HSET KEY f 1", |state| state.set("key", "x")),
        ("HSET KEY f 1", |state| {
            state.increment("sum", 1);
            state.quotient("key", "sum", "sum");
        }),
        ("SET KEY x", |state| {
            state.minimum("key", 1.0);
            state.quotient("average", "key", "key");
        }),
    ];
    for (prepare, change) in cases {
        store.run::<()>("FLUSHALL");
        store.run::<()>(&prepare.replace("KEY", "{tests:1}:key"));
        let error = refused(&mut store, |state| {
            state.increment("before", 1);
            change(state);
        });
        assert!(matches!(&error, Error::Stored(text) if text.contains("{tests:1}:key")), "{error}");
        assert!(!error.is_retriable());
        assert_eq!(store.run::<usize>("DBSIZE"), 1, "{prepare}: nothing was written");
    }
    store.run::<()>("SET {tests:1}:key x");
    let mut transaction = batch(source(), &plain(1), 0, 1);
    let replaces = |_: &Transaction, state: &mut State| {
        state.delete("key");
        state.add_score("key", "m", 1.0);
    };
    assert_eq!(store.apply(&mut transaction, replaces).unwrap().0, Step::Done);
    assert_eq!(store.contents()["key"], Content::Scores([("m".to_owned(), 1.0)].into()));
}

#[test]
fn an_entry_with_too_many_fields_is_refused_and_nothing_is_written() {
    let mut store = Store::start();
    let fields = |count: usize| vec![("f", "v"); count];
    let error = refused(&mut store, |state| {
        state.increment("before", 1);
        state.append("stream", 5, &fields(5_000));
    });
    assert!(!error.is_retriable() && error.to_string().contains("`stream`"), "{error}");
    assert_eq!(store.run::<usize>("DBSIZE"), 0, "nothing was written");
    // The largest entry that is allowed.
    let run = |_: &Transaction, state: &mut State| state.append("stream", 5, &fields(500));
    assert_eq!(store.apply(&mut batch(source(), &plain(1), 0, 1), run).unwrap().0, Step::Done);
    assert_eq!(store.run::<usize>(&format!("XLEN {PREFIX}stream")), 1);
}

#[test]
fn a_sum_beyond_its_limit_is_named_and_nothing_is_written() {
    let mut store = Store::start();
    let largest = "9".repeat(27);
    let cases: [(String, Change); 5] = [
        (format!("SET KEY {}", i64::MAX), |state| state.increment("key", 1)),
        (format!("SET KEY {largest}"), |state| state.add("key", 1.into())),
        (format!("SET KEY -{largest}"), |state| state.add("key", (-1).into())),
        (format!("ZADD KEY {} m", f64::MAX), |state| state.add_score("key", "m", f64::MAX)),
        ("SET KEY 1".to_owned(), |state| {
            state.maximum("largest", f64::MAX);
            state.add("smallest", "0.000000001".parse().unwrap());
            state.quotient("key", "largest", "smallest");
        }),
    ];
    for (prepare, change) in cases {
        store.run::<()>("FLUSHALL");
        store.run::<()>(&prepare.replace("KEY", "{tests:1}:key"));
        let error = refused(&mut store, change);
        assert!(matches!(&error, Error::Stored(text) if text.contains("{tests:1}:key")), "{error}");
        assert_eq!(store.run::<usize>("DBSIZE"), 1, "{prepare}: nothing was written");
    }
}

#[test]
fn a_full_memory_and_a_missing_right_leave_everything_as_it_was() {
    let mut store = Store::start();
    let change = |state: &mut State| {
        state.delete("old");
        state.add_score("scores", "m", 1.0);
    };
    store.run::<()>(&format!("SET {PREFIX}old x"));
    store.run::<()>("CONFIG SET maxmemory 1");
    let error = refused(&mut store, change);
    assert!(error.is_retriable() && error.to_string().contains("OOM"), "{error}");
    store.run::<()>("CONFIG SET maxmemory 0");
    store.run::<()>("ACL SETUSER limited on >secret ~* +@all -zadd");
    store.login("limited", "secret");
    let error = refused(&mut store, change);
    assert!(error.is_retriable() && error.to_string().contains("command ZADD"), "{error}");
    assert_eq!(store.run::<usize>("DBSIZE"), 1, "nothing was written");
}

#[test]
fn a_key_expires_at_its_time_and_a_sum_keeps_it() {
    let mut store = Store::start();
    let far = 4_000_000_000_000i64;
    let mut apply = |start: usize, change: &dyn Fn(&mut State)| {
        let mut batch = batch(source(), &plain(start + 1), start, start + 1);
        let run = |_: &Transaction, state: &mut State| change(state);
        assert_eq!(store.apply(&mut batch, run).unwrap().0, Step::Done);
        store.run::<i64>(&format!("PEXPIRETIME {PREFIX}a"))
    };
    assert_eq!(apply(0, &|state| state.increment("a", 1)), -1, "it does not expire");
    assert_eq!(apply(1, &|state| state.expire_at("a", far)), far);
    assert_eq!(apply(2, &|state| state.increment("a", 1)), far);
    assert_eq!(apply(3, &|state| state.set("a", "5")), -1);
    let late = |state: &mut State| {
        state.increment("a", 1);
        state.expire_at("a", 1_000);
    };
    assert_eq!(apply(4, &late), -2, "it is deleted");
}

#[test]
fn all_keys_are_in_one_slot_of_a_cluster() {
    let mut store = Store::with(&["--cluster-enabled", "yes"]);
    store.run::<()>("CLUSTER ADDSLOTSRANGE 0 16383");
    let keys = vec![Some("a".to_owned())];
    let run = |transaction: &Transaction, state: &mut State| {
        count(transaction, state);
        state.hash("hash").increment("f", 1);
        state.record_read(Read::value("other"), None);
    };
    let begun = std::time::Instant::now();
    let step = loop {
        // Until the cluster has seen that it is complete, it refuses commands.
        match store.apply(&mut batch(source(), &keys, 0, 1), run) {
            Ok((step, _)) => break step,
            Err(error) => assert!(error.to_string().contains("CLUSTERDOWN"), "{error}"),
        }
        assert!(begun.elapsed().as_secs() < 30, "the cluster is not complete");
        std::thread::yield_now();
    };
    assert_eq!(step, Step::Done);
    assert_eq!(store.position(&source()), Some(1));
}

#[test]
fn distinct_elements_are_estimated() {
    let mut store = Store::start();
    let add = |elements: std::ops::Range<u32>| {
        move |_: &Transaction, state: &mut State| {
            elements.clone().for_each(|element| state.add_distinct("d", element.to_string()));
        }
    };
    // More elements than one command contains, and some of them again in the next batch.
    for (start, elements) in [(0, 0..2_500), (1, 2_000..3_000)] {
        let step = store.apply(&mut batch(source(), &plain(2), start, start + 1), add(elements));
        assert_eq!(step.unwrap().0, Step::Done);
    }
    let estimate: i64 = store.run(&format!("PFCOUNT {PREFIX}d"));
    assert!((2_900..3_100).contains(&estimate), "{estimate}");
    store.run::<()>(&format!("COPY {PREFIX}d {PREFIX}dense"));
    let pad = |key: &str, length: u32| format!("SETRANGE {PREFIX}{key} {length} x");
    for command in [
        format!("SET {PREFIX}empty "),
        format!("SET {PREFIX}number 7"),
        format!("SET {PREFIX}text x"),
        format!("SET {PREFIX}short HYLL"),
        format!("SET {PREFIX}unknown HYLL2345678901234567"),
        pad("dense", 12_304),
        format!("HSET {PREFIX}hash a b"),
    ] {
        store.run::<redis::Value>(&command);
    }
    for key in ["empty", "number", "text", "short", "unknown", "dense", "hash"] {
        let error = refused_at(&mut store, 2, |state| state.add_distinct(key, "a"));
        let expected = format!("WRONGTYPE the key {PREFIX}{key} holds no HyperLogLog");
        assert!(matches!(&error, Error::Stored(text) if text.contains(&expected)), "{error}");
    }
}
