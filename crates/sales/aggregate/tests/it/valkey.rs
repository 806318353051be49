//! The update with a real Valkey, compared with a naive model that counts one record at a time, for
//! any sequence of batches, repeats, overlaps and losses of the store.

use std::cell::RefCell;

use aggregate::{Known, RetentionLimits, Step, Update};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::support::model::{Model, Record};
use crate::support::store::Store;
use crate::support::{Line, keyed_batch};

/// An event of the partition.
#[derive(Debug, Clone)]
enum Event {
    /// A batch of `length` records is applied. It begins at this fraction of the reader's position,
    /// like a repeat after a crash. `second` is a second owner with its own cache of stored
    /// values.
    Read { from: f64, length: usize, second: bool },
    /// The store is reset to this fraction of what it had applied.
    Loss { keeps: f64 },
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (prop_oneof![Just(1.0), 0.0..1.0f64], 1usize..20, any::<bool>())
            .prop_map(|(from, length, second)| Event::Read { from, length, second }),
        1 => (0.0..1.0f64).prop_map(|keeps| Event::Loss { keeps }),
    ]
}

fn record() -> impl Strategy<Value = Record> {
    let micros = prop_oneof![0..=100_000_000i64, 0..=1_000_000_000_000i64]
        .prop_map(|micros| if micros % 2 == 0 { micros - micros % 10_000 } else { micros });
    prop_oneof![
        6 => (-1..6i32, 0..4u8, micros, 1..=sale::QUANTITY_MAX, prop::option::of(0..6u8)).prop_map(
            |(category, product, micros, quantity, key)| {
                Record::Sale { category, product: format!("p{product}"), micros, quantity, key }
            }
        ),
        // A retry often finds the same body, and sometimes another one, under its key.
        3 => (0..3u8, 1..3i32).prop_map(|(key, quantity)| {
            Record::Sale { category: 1, product: "again".into(), micros: 0, quantity, key: Some(key) }
        }),
        1 => prop_oneof![Just(None), Just(Some(b"{".to_vec())), Just(Some(b"{}".to_vec()))]
            .prop_map(Record::Junk),
    ]
}

/// A reader of the partition, whose position may differ from the stored one.
struct Reader<'a> {
    store: &'a mut Store,
    log: Vec<Line>,
    names: [Known; 2],
    /// The number of records that the store has applied.
    stored: usize,
    /// The next offset to read.
    next: usize,
}

impl Reader<'_> {
    fn apply(&mut self, event: &Event) -> Result<(), TestCaseError> {
        match *event {
            Event::Read { from, length, second } => {
                let start = (self.next as f64 * from) as usize;
                self.read(start, (start + length).min(self.log.len()), usize::from(second))
            }
            Event::Loss { keeps } => {
                self.stored = (self.stored as f64 * keeps) as usize;
                self.store.run::<()>("FLUSHALL");
                if self.stored > 0 {
                    let kept = self.batch(0, self.stored);
                    let step = self.store.apply(kept, &mut Known::default()).0;
                    prop_assert_eq!(step, Step::Done);
                }
                Ok(())
            }
        }
    }

    fn read(&mut self, start: usize, end: usize, names: usize) -> Result<(), TestCaseError> {
        if start == end {
            return Ok(());
        }
        let (step, calls) = self.store.apply(self.batch(start, end), &mut self.names[names]);
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

    fn batch(&self, start: usize, end: usize) -> Update {
        keyed_batch(&self.log, start, end, RetentionLimits::default())
    }
}

fn line(record: &Record) -> Line {
    (record.key(), record.value())
}

#[test]
fn any_batches_repeats_overlaps_and_losses_count_each_record_once() {
    let store = RefCell::new(Store::start());
    let records = prop::collection::vec(record(), 1..80);
    let events = prop::collection::vec(event(), 0..30);
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let result = TestRunner::new(config).run(&(records, events), |(records, events)| {
        let mut store = store.borrow_mut();
        store.run::<()>("FLUSHALL");
        store.run::<()>("SCRIPT FLUSH");
        let log = records.iter().map(line).collect();
        let names = Default::default();
        let mut reader = Reader { store: &mut store, log, names, stored: 0, next: 0 };
        for event in &events {
            reader.apply(event)?;
        }
        // A new assignment starts at the stored position.
        reader.read(reader.stored, records.len(), 0)?;
        prop_assert_eq!(store.contents(), Model::contents(&records));
        Ok(())
    });
    result.unwrap();
}

/// Both owners begin, and each call of one is made between two calls of the other.
#[test]
fn two_owners_at_once_count_each_record_once() {
    let mut store = Store::start();
    let sale = |i: i32| Record::Sale {
        category: i % 5,
        product: format!("p{}", i % 3),
        micros: 1_990_000,
        quantity: 1 + i,
        key: None,
    };
    let records: Vec<Record> = (0..20).map(sale).collect();
    let log: Vec<Line> = records.iter().map(line).collect();
    let batch = |end| keyed_batch(&log, 0, end, RetentionLimits::default());
    let mut names = [Known::default(), Known::default()];
    let mut owners = [batch(15), batch(20)];
    let mut steps = [Step::Run, Step::Run];
    while steps.iter().any(|step| matches!(step, Step::Send | Step::Run)) {
        for owner in 0..2 {
            if matches!(steps[owner], Step::Send | Step::Run) {
                steps[owner] = store.call(&mut owners[owner], &mut names[owner]).unwrap();
            }
        }
    }
    assert_eq!(steps, [Step::Done, Step::Done]);
    assert_eq!(store.contents(), Model::contents(&records));
}
