//! Random changes in random batches, repeats, overlaps and losses of the store, compared with a
//! naive recount that applies one record at a time.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use spin_kafka_state::{State, Step, Transaction};

use crate::store::{Content, Store, batch, source};

/// What the function does for a record. The number is a part of the name of the key, field or
/// member.
#[derive(Debug, Clone)]
enum Action {
    Increment(u8, i64),
    /// Billionths.
    Add(u8, i64),
    Minimum(i32),
    Maximum(i32),
    Set(u8, String),
    Delete(u8),
    IncrementField(u8, i64),
    AddField(u8, i64),
    MinimumField(i32),
    SetField(u8, String),
    DeleteField(u8),
    Score(u8, i32),
    Append(u32),
    ReplaceHash(u8),
    /// Two sums, and their quotient.
    Average(i32, u16),
    /// A counter, and perhaps a hash that must equal it.
    Paired(bool),
}

const STREAM_LENGTH: u32 = 7;

fn action() -> impl Strategy<Value = Action> {
    let integer = prop_oneof![-1_000..1_000i64, -(1i64 << 55)..(1i64 << 55)];
    let billionths = prop_oneof![-5_000_000_000..5_000_000_000i64, any::<i64>()];
    prop_oneof![
        (0..2u8, integer.clone()).prop_map(|(k, n)| Action::Increment(k, n)),
        (0..2u8, billionths.clone()).prop_map(|(k, n)| Action::Add(k, n)),
        any::<i32>().prop_map(Action::Minimum),
        any::<i32>().prop_map(Action::Maximum),
        (0..2u8, "[a-z]{0,3}").prop_map(|(k, v)| Action::Set(k, v)),
        (0..2u8).prop_map(Action::Delete),
        (0..3u8, integer).prop_map(|(f, n)| Action::IncrementField(f, n)),
        (0..3u8, billionths).prop_map(|(f, n)| Action::AddField(f, n)),
        any::<i32>().prop_map(Action::MinimumField),
        (0..3u8, "[a-z]{0,3}").prop_map(|(f, v)| Action::SetField(f, v)),
        (0..3u8).prop_map(Action::DeleteField),
        (0..3u8, any::<i32>()).prop_map(|(m, n)| Action::Score(m, n)),
        any::<u32>().prop_map(Action::Append),
        (0..3u8).prop_map(Action::ReplaceHash),
        (-1_000..1_000i32, 0..3u16).prop_map(|(sum, count)| Action::Average(sum, count)),
        any::<bool>().prop_map(Action::Paired),
    ]
}

/// A decimal of this many billionths.
fn decimal(billionths: i128) -> String {
    let sign = if billionths < 0 { "-" } else { "" };
    let size = billionths.unsigned_abs();
    let text = format!("{sign}{}.{:09}", size / 1_000_000_000, size % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

impl Action {
    /// The function.
    fn run(&self, state: &mut State) {
        match self {
            Self::Increment(key, by) => state.increment(format!("integer{key}"), *by),
            Self::Add(key, n) => {
                state.add(format!("decimal{key}"), decimal((*n).into()).parse().unwrap());
            }
            Self::Minimum(n) => state.minimum("minimum", f64::from(*n) / 4.0),
            Self::Maximum(n) => state.maximum("maximum", f64::from(*n) / 4.0),
            Self::Set(key, value) => state.set(format!("text{key}"), value.as_str()),
            Self::Delete(key) => state.delete(format!("text{key}")),
            Self::IncrementField(field, by) => {
                state.hash("hash").increment(format!("integer{field}"), *by);
            }
            Self::AddField(field, n) => {
                let amount = decimal((*n).into()).parse().unwrap();
                state.hash("hash").add(format!("decimal{field}"), amount);
            }
            Self::MinimumField(n) => state.hash("hash").minimum("minimum", f64::from(*n) / 4.0),
            Self::SetField(field, value) => {
                state.hash("hash").set(format!("text{field}"), value.as_str());
            }
            Self::DeleteField(field) => state.hash("hash").delete(format!("text{field}")),
            Self::Score(member, by) => state.add_score("scores", [*member], f64::from(*by)),
            Self::Append(n) => state.append("stream", STREAM_LENGTH, &[("n", n.to_string())]),
            Self::ReplaceHash(field) => {
                state.delete("hash");
                state.hash("hash").increment(format!("integer{field}"), 1);
            }
            Self::Average(sum, count) => {
                state.add("sum", decimal(i128::from(*sum) * 100_000_000).parse().unwrap());
                state.increment("summands", i64::from(*count));
                state.quotient("average", "sum", "summands");
            }
            Self::Paired(is_complete) => {
                state.increment("counter", 1);
                let mut hash = state.hash("complete");
                hash.increment("of", i64::from(*is_complete));
                hash.delete_unless_equal("of", "counter");
            }
        }
    }
}

/// The recount.
#[derive(Default)]
struct Model {
    integers: BTreeMap<String, i64>,
    decimals: BTreeMap<String, i128>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    texts: BTreeMap<String, String>,
    hash_integers: BTreeMap<String, i64>,
    hash_decimals: BTreeMap<String, i128>,
    hash_minimum: Option<f64>,
    hash_texts: BTreeMap<String, String>,
    scores: BTreeMap<String, f64>,
    entries: Vec<(String, String)>,
    /// Tenths, and the number of summands.
    average: Option<(i64, i64)>,
    counter: i64,
    is_incomplete: bool,
}

impl Model {
    fn count(&mut self, action: &Action) {
        match action {
            Action::Increment(key, by) => {
                *self.integers.entry(format!("integer{key}")).or_default() += by;
            }
            Action::Add(key, n) => {
                *self.decimals.entry(format!("decimal{key}")).or_default() += i128::from(*n);
            }
            Action::Minimum(n) => self.minimum = smaller(self.minimum, *n),
            Action::Maximum(n) => self.maximum = smaller(self.maximum.map(|m| -m), -*n).map(|m| -m),
            Action::Set(key, value) => {
                self.texts.insert(format!("text{key}"), value.clone());
            }
            Action::Delete(key) => {
                self.texts.remove(&format!("text{key}"));
            }
            Action::IncrementField(field, by) => {
                *self.hash_integers.entry(format!("integer{field}")).or_default() += by;
            }
            Action::AddField(field, n) => {
                *self.hash_decimals.entry(format!("decimal{field}")).or_default() += i128::from(*n);
            }
            Action::MinimumField(n) => self.hash_minimum = smaller(self.hash_minimum, *n),
            Action::SetField(field, value) => {
                self.hash_texts.insert(format!("text{field}"), value.clone());
            }
            Action::DeleteField(field) => {
                self.hash_texts.remove(&format!("text{field}"));
            }
            Action::Score(member, by) => {
                let member = char::from(*member).to_string();
                *self.scores.entry(member).or_default() += f64::from(*by);
            }
            Action::Append(n) => self.entries.push(("n".to_owned(), n.to_string())),
            Action::ReplaceHash(field) => {
                self.hash_integers = [(format!("integer{field}"), 1)].into();
                self.hash_decimals.clear();
                self.hash_texts.clear();
                self.hash_minimum = None;
            }
            Action::Average(sum, count) => {
                let (sums, counts) = self.average.get_or_insert_default();
                *sums += i64::from(*sum);
                *counts += i64::from(*count);
            }
            Action::Paired(is_complete) => {
                self.counter += 1;
                self.is_incomplete |= !is_complete;
            }
        }
    }

    fn contents(self) -> BTreeMap<String, Content> {
        let mut contents = BTreeMap::new();
        let integers = self.integers.into_iter().map(|(key, n)| (key, n.to_string()));
        let decimals = self.decimals.into_iter().map(|(key, n)| (key, decimal(n)));
        let ranges = [("minimum", self.minimum), ("maximum", self.maximum)];
        let ranges = ranges.into_iter().filter_map(|(k, n)| Some((k.to_owned(), n?.to_string())));
        let values = integers.chain(decimals).chain(ranges).chain(self.texts);
        contents.extend(values.map(|(key, value)| (key, Content::Text(value))));
        let integers = self.hash_integers.into_iter().map(|(key, n)| (key, n.to_string()));
        let decimals = self.hash_decimals.into_iter().map(|(key, n)| (key, decimal(n)));
        let minimum = self.hash_minimum.map(|n| ("minimum".to_owned(), n.to_string()));
        let fields: BTreeMap<_, _> =
            integers.chain(decimals).chain(minimum).chain(self.hash_texts).collect();
        if !fields.is_empty() {
            contents.insert("hash".into(), Content::Fields(fields));
        }
        if let Some((tenths, count)) = self.average {
            let sum = decimal(i128::from(tenths) * 100_000_000);
            if count != 0 {
                let average = sum.parse::<f64>().unwrap() / count as f64;
                contents.insert("average".into(), Content::Text(average.to_string()));
            }
            contents.insert("sum".into(), Content::Text(sum));
            contents.insert("summands".into(), Content::Text(count.to_string()));
        }
        if self.counter > 0 {
            let counter = self.counter.to_string();
            if !self.is_incomplete {
                let fields = [("of".to_owned(), counter.clone())].into();
                contents.insert("complete".into(), Content::Fields(fields));
            }
            contents.insert("counter".into(), Content::Text(counter));
        }
        if !self.scores.is_empty() {
            contents.insert("scores".into(), Content::Scores(self.scores));
        }
        if !self.entries.is_empty() {
            let from = self.entries.len().saturating_sub(STREAM_LENGTH as usize);
            contents.insert("stream".into(), Content::Entries(self.entries[from..].to_vec()));
        }
        contents
    }
}

fn smaller(stored: Option<f64>, number: i32) -> Option<f64> {
    let number = f64::from(number) / 4.0;
    Some(stored.map_or(number, |stored| stored.min(number)))
}

/// An event of the partition.
#[derive(Debug, Clone)]
enum Event {
    /// A batch of `length` records is applied. It begins at this fraction of the reader's position,
    /// like a repeat after a crash.
    Read { from: f64, length: usize },
    /// The store is reset to this fraction of what it had applied.
    Loss { keeps: f64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (prop_oneof![Just(1.0), 0.0..1.0f64], 1usize..20)
            .prop_map(|(from, length)| Event::Read { from, length }),
        1 => (0.0..1.0f64).prop_map(|keeps| Event::Loss { keeps }),
    ]
}

/// A reader of the partition, whose position may differ from the stored one.
struct Reader<'a> {
    store: &'a mut Store,
    actions: Vec<Action>,
    keys: Vec<Option<String>>,
    /// The number of records that the store has applied.
    stored: usize,
    /// The next offset to read.
    next: usize,
}

impl Reader<'_> {
    fn apply(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match *event {
            Event::Read { from, length } => {
                let start = (self.next as f64 * from) as usize;
                self.read(start, (start + length).min(self.actions.len()))
            }
            Event::Loss { keeps } => {
                self.stored = (self.stored as f64 * keeps) as usize;
                self.store.run::<()>("FLUSHALL");
                if self.stored > 0 {
                    let step = self.apply_batch(0, self.stored).0;
                    prop_assert_eq!(step, Step::Done);
                }
                Ok(())
            }
        }
    }

    fn apply_batch(&mut self, start: usize, end: usize) -> (Step, u32) {
        let mut batch = batch(source(), &self.keys, start, end);
        let actions = &self.actions;
        let run = |transaction: &Transaction, state: &mut State| {
            for (action, offset) in actions[start..end].iter().zip(start as i64..) {
                if transaction.includes(offset) {
                    action.run(state);
                }
            }
        };
        self.store.apply(&mut batch, run).unwrap()
    }

    fn read(&mut self, start: usize, end: usize) -> Result<(), TestCaseError> {
        if start == end {
            return Ok(());
        }
        let (step, calls) = self.apply_batch(start, end);
        prop_assert!(calls <= 3, "{} calls", calls);
        if start > 0 && self.stored == 0 {
            prop_assert_eq!(step, Step::Lost);
            self.next = 0;
        } else if start > self.stored {
            prop_assert_eq!(step, Step::Rewind(self.stored as i64));
            self.next = self.stored;
        } else {
            prop_assert_eq!(step, Step::Done);
            self.stored = self.stored.max(end);
            self.next = self.next.max(end);
        }
        Ok(())
    }
}

fn recount(actions: &[Action], keys: &[Option<String>]) -> BTreeMap<String, Content> {
    let (mut model, mut seen) = (Model::default(), BTreeSet::new());
    for (action, key) in actions.iter().zip(keys) {
        if key.as_ref().is_none_or(|key| seen.insert(key)) {
            model.count(action);
        }
    }
    model.contents()
}

#[test]
fn any_batches_repeats_overlaps_and_losses_equal_a_recount() {
    let store = RefCell::new(Store::start());
    let key = prop::option::weighted(0.4, (0..40u8).prop_map(|key| format!("k{key}")));
    let records = prop::collection::vec((action(), key), 1..80);
    let events = prop::collection::vec(event(), 0..30);
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&(records, events), |(records, events)| {
        let mut store = store.borrow_mut();
        store.run::<()>("FLUSHALL");
        store.run::<()>("SCRIPT FLUSH");
        let (actions, keys): (Vec<_>, Vec<_>) = records.into_iter().unzip();
        let expected = recount(&actions, &keys);
        let length = actions.len();
        let mut reader = Reader { store: &mut store, actions, keys, stored: 0, next: 0 };
        for event in &events {
            reader.apply(event)?;
        }
        // A new assignment starts at the stored position.
        reader.read(reader.stored, length)?;
        prop_assert_eq!(store.position(&source()), Some(length as i64));
        prop_assert_eq!(store.contents(), expected);
        Ok(())
    });
    result.unwrap();
}
