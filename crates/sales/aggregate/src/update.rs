//! The application of one batch to Valkey.

use sale::{Category, Sale};
use spin_kafka_state::{
    Command, Error, OffsetRange, RecordId, Reply, RetentionLimits, Source, Step, Transaction,
};

use crate::record::Entry;
use crate::{Known, Record, changes};

/// A record that is not a valid sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The record's offset.
    pub offset: i64,
    /// Why it is not valid.
    pub reason: String,
}

/// The sales of a batch, and the partition they belong to.
#[derive(Debug)]
pub struct Update {
    transaction: Transaction,
    entries: Vec<Entry>,
    rejections: Vec<Rejection>,
}

impl Update {
    /// Parses the records of a batch. If several records contain the same sale, the first one is
    /// kept.
    pub fn from_records<'a>(
        source: Source,
        range: OffsetRange,
        limits: RetentionLimits,
        records: impl IntoIterator<Item = Record<'a>>,
    ) -> Self {
        let records = records.into_iter();
        let mut entries = Vec::with_capacity(records.size_hint().0);
        let mut rejections = Vec::new();
        for record in records {
            match Entry::parse(record) {
                Ok(entry) => entries.push(entry),
                Err(reason) => rejections.push(Rejection { offset: record.offset, reason }),
            }
        }
        let ids = entries.iter().map(|entry| RecordId {
            offset: entry.offset,
            timestamp_ms: entry.timestamp_ms,
            fingerprint: entry.fingerprint,
        });
        let transaction = Transaction::new(source, range, limits, ids);
        let mut update = Self { transaction, entries, rejections };
        update.remove_applied();
        update
    }

    /// The command to send next: one call of the script. Fails if there are too many sales for one
    /// call.
    pub fn command(&self, known: &Known) -> Result<Command, Error> {
        self.transaction.command(&changes::of(self.sales(), known))
    }

    /// Evaluates the reply to the command. After [`Step::Send`] and [`Step::Run`], send
    /// [`Update::command`] again.
    pub fn reply(&mut self, reply: Reply, known: &mut Known) -> Result<Step, Error> {
        let step = self.transaction.reply(reply)?;
        match step {
            Step::Run => {
                let categories: Vec<_> = self.categories().into_iter().map(|(c, _)| c).collect();
                known.learn(&categories, self.transaction.stored_values());
                self.remove_applied();
            }
            Step::Done => {
                for (category, first) in self.categories() {
                    known.counted(category, first);
                }
            }
            Step::Send | Step::Rewind(_) | Step::Lost => {}
        }
        Ok(step)
    }

    /// The records of the batch that are not valid sales, also those that were applied before: the
    /// trigger may have crashed before it wrote their dead letters.
    pub fn rejections(self) -> Vec<Rejection> {
        self.rejections
    }

    fn sales(&self) -> impl Iterator<Item = &Sale> + Clone {
        self.entries.iter().map(|entry| &entry.sale)
    }

    /// The categories that occur in the batch, in the order of their changes, with the product of
    /// the first sale of each.
    fn categories(&self) -> Vec<(Category, &str)> {
        let first = |category| {
            let is_in = |sale: &&Sale| Category::from_number(sale.category) == category;
            self.sales().find(is_in).map(|sale| (category, sale.product_id.as_str()))
        };
        Category::ALL.into_iter().filter_map(first).collect()
    }

    /// Removes sales that were applied before, or from another record.
    fn remove_applied(&mut self) {
        let transaction = &self.transaction;
        self.entries.retain(|entry| transaction.includes(entry.offset));
    }
}

#[cfg(test)]
mod tests {
    use spin_kafka_state::Namespace;

    use super::*;
    use crate::NAMES;

    fn update() -> Update {
        let source = Source {
            namespace: Namespace::fixed("", &NAMES).unwrap(),
            group: "g".into(),
            topic: "t".into(),
            log_id: "l".into(),
            partition: 3,
        };
        let sale = |category: i32, product: &str| {
            let product_id = product.into();
            Sale { category, product_id, price: 2.5, quantity: 1 }.to_json()
        };
        let values = [sale(1, "a"), b"{}".to_vec(), sale(2, "b"), sale(2, "c"), sale(2, "c")];
        let keys: [Option<&[u8]>; 5] = [Some(b"k"), None, None, Some(b"l"), Some(b"l")];
        let records = values.iter().zip(keys).zip(10..);
        let records = records.map(|((value, idempotency_key), offset)| Record {
            offset,
            timestamp_ms: Some(1_000 + offset),
            idempotency_key,
            value: Some(value),
        });
        let range = OffsetRange { start: 10, end: 15, expected_position: Some(10) };
        Update::from_records(source, range, RetentionLimits::default(), records)
    }

    fn values(words: &[&str]) -> Reply {
        Reply::Values(words.iter().map(|word| word.as_bytes().into()).collect())
    }

    fn offsets(update: &Update) -> Vec<i64> {
        update.entries.iter().map(|entry| entry.offset).collect()
    }

    #[test]
    fn applied_and_repeated_sales_are_removed_but_no_rejection() {
        let (mut update, mut known) = (update(), Known::default());
        assert_eq!(offsets(&update), [10, 12, 13], "the first of two equal ones");
        assert_eq!(update.reply(values(&["again", "11", "1", "1"]), &mut known), Ok(Step::Run));
        assert_eq!(offsets(&update), [12]);
        let rejected: Vec<_> = update.rejections().iter().map(|r| r.offset).collect();
        assert_eq!(rejected, [11], "its dead letter may not have been written");
    }

    #[test]
    fn stored_values_are_kept_for_later_batches() {
        let (mut update, mut known) = (update(), Known::default());
        let monitored = |known: &Known, category| known.of(category).monitored;
        let differs = [
            &["again", "10", "0"][..],
            &["0", "", "0", "", "0", ""],
            &["1", "c", "1", "5", "1", "5000000"],
        ]
        .concat();
        assert_eq!(update.reply(values(&differs), &mut known), Ok(Step::Run));
        assert_eq!(monitored(&known, Category::Ropa).as_deref(), Some("c"));
        assert_eq!(monitored(&known, Category::Electronica), None);
        assert_eq!(update.reply(values(&["applied"]), &mut known), Ok(Step::Done));
        let first = monitored(&known, Category::Electronica);
        assert_eq!(first.as_deref(), Some("a"), "the first of its category");
        assert_eq!(monitored(&known, Category::Ropa).as_deref(), Some("c"));
    }
}
