//! The application of one batch to Valkey.

use std::collections::HashSet;

use idempotency::RetentionLimits;
use sale::{Category, Sale};
use valkey_codec::{Command, ScriptRef, is_unknown_script};

use crate::record::Entry;
use crate::script::Call;
use crate::{Error, Monitored, OffsetRange, Record, Source};

/// Maximum number of calls of the script for one batch. Without another owner of the partition,
/// three are sufficient: the first one, one with the source if Valkey does not have the script, and
/// one after the script has reported differences (the monitored products, a position inside the
/// batch, repeated sales). A second owner may change any of these in between.
const CALLS_MAX: u32 = 8;

/// Start of the script's error if the counters were written by another program.
const FOREIGN: &str = "FOREIGN ";

/// A record that is not a valid sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The record's offset.
    pub offset: i64,
    /// Why it is not valid.
    pub reason: String,
}

/// Valkey's reply to the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The script's return value: an array of strings.
    Values(Vec<String>),
    /// An error, including its code.
    Error(String),
}

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The batch is applied, by this call or an earlier one.
    Done,
    /// Send [`Update::command`] again; it has changed.
    Again,
    /// The store lost its last updates: read again from this position.
    Rewind(i64),
    /// The store lost all data of this partition.
    Lost,
}

/// The sales of a batch, and the partition they belong to.
#[derive(Debug)]
pub struct Update {
    source: Source,
    range: OffsetRange,
    /// Where the batch begins. The range may begin later, at the stored position.
    batch_start: i64,
    limits: RetentionLimits,
    entries: Vec<Entry>,
    rejections: Vec<Rejection>,
    script: ScriptRef,
    calls: u32,
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
        let count = records.size_hint().0;
        let (mut entries, mut seen) = (Vec::with_capacity(count), HashSet::with_capacity(count));
        let mut rejections = Vec::new();
        for record in records {
            match Entry::parse(record) {
                Ok(entry) if entry.fingerprint.is_none_or(|known| seen.insert(known)) => {
                    entries.push(entry);
                }
                Ok(_) => {}
                Err(reason) => rejections.push(Rejection { offset: record.offset, reason }),
            }
        }
        let (batch_start, script, calls) = (range.start, ScriptRef::Sha, 0);
        Self { source, range, batch_start, limits, entries, rejections, script, calls }
    }

    /// The command to send next: one call of the script.
    pub fn command(&self, monitored: &Monitored) -> Command {
        let Self { source, range, limits, entries, script, .. } = self;
        Call::build(*script, source, *range, *limits, entries, monitored)
    }

    /// Evaluates the reply to the command. Fails if Valkey refused the update, if its
    /// counters belong to another program, or after `CALLS_MAX` calls.
    pub fn reply(&mut self, reply: Reply, monitored: &mut Monitored) -> Result<Step, Error> {
        self.calls += 1;
        let step = match reply {
            Reply::Values(values) => self.evaluate(&values, monitored)?,
            Reply::Error(text) if is_unknown_script(&text) && self.script == ScriptRef::Sha => {
                self.script = ScriptRef::Source;
                Step::Again
            }
            Reply::Error(text) if text.starts_with(FOREIGN) => return Err(Error::Foreign(text)),
            Reply::Error(text) => return Err(Error::Refused(text)),
        };
        if step == Step::Again && self.calls == CALLS_MAX {
            return Err(Error::Contended { calls: self.calls });
        }
        Ok(step)
    }

    fn evaluate(&mut self, values: &[String], monitored: &mut Monitored) -> Result<Step, Error> {
        let unexpected = || Error::Unexpected(values.join(" "));
        let (word, rest) = values.split_first().ok_or_else(unexpected)?;
        let position = || rest.first().and_then(|text| text.parse().ok()).ok_or_else(unexpected);
        match word.as_str() {
            "applied" => {
                self.store_accepted_products(monitored);
                Ok(Step::Done)
            }
            "duplicate" => Ok(Step::Done),
            // The position moved back while the batch was being applied, but not beyond its start.
            // The same batch can still be applied.
            "rewind" if position()? >= self.batch_start => {
                Err(Error::Contended { calls: self.calls })
            }
            "rewind" => Ok(Step::Rewind(position()?)),
            "lost" => Ok(Step::Lost),
            "differs" => {
                let report = ScriptReport::parse(rest).ok_or_else(unexpected)?;
                self.store_reported_products(report.names, monitored);
                self.remove_repeated(&report.repeated);
                self.skip_to(report.position);
                Ok(Step::Again)
            }
            _ => Err(unexpected()),
        }
    }

    /// The records of the batch that are not valid sales, also those that were applied before.
    pub fn rejections(self) -> Vec<Rejection> {
        self.rejections
    }

    /// Stores the names of the monitored products that the script returned.
    fn store_reported_products(&self, names: &[String], monitored: &mut Monitored) {
        for (category, name) in self.categories().into_iter().zip(names) {
            monitored.set(category, name);
        }
    }

    /// Stores the monitored products that the script has accepted, for the categories without one.
    fn store_accepted_products(&self, monitored: &mut Monitored) {
        for category in self.categories() {
            if monitored.get(category).is_none()
                && let Some(first) = self.sales_of(category).next()
            {
                monitored.set(category, &first.product_id);
            }
        }
    }

    fn sales_of(&self, category: Category) -> impl Iterator<Item = &Sale> {
        let sales = self.entries.iter().map(|entry| &entry.sale);
        sales.filter(move |sale| Category::from_number(sale.category) == category)
    }

    /// The categories that occur in the batch, in the order in which the script expects them.
    fn categories(&self) -> Vec<Category> {
        Category::ALL.into_iter().filter(|c| self.sales_of(*c).next().is_some()).collect()
    }

    /// Removes sales that were counted from another record. `repeated` contains their indexes among
    /// the entries that have a fingerprint.
    fn remove_repeated(&mut self, repeated: &HashSet<usize>) {
        let mut index = 0;
        self.entries.retain(|entry| {
            if entry.fingerprint.is_none() {
                return true;
            }
            index += 1;
            !repeated.contains(&(index - 1))
        });
    }

    /// Removes entries before the stored position, because they were applied before. The rejections
    /// stay: the trigger may have crashed before it wrote their dead letters.
    fn skip_to(&mut self, position: i64) {
        self.entries.retain(|entry| entry.offset >= position);
        self.range.start = position;
    }
}

/// The reply `differs` of the script: the values that differ from its arguments.
struct ScriptReport<'a> {
    position: i64,
    names: &'a [String],
    repeated: HashSet<usize>,
}

impl<'a> ScriptReport<'a> {
    fn parse(words: &'a [String]) -> Option<Self> {
        let [position, count, rest @ ..] = words else { return None };
        let (names, repeated) = rest.split_at_checked(count.parse().ok()?)?;
        let repeated = repeated.iter().map(|index| index.parse().ok()).collect::<Option<_>>()?;
        Some(Self { position: position.parse().ok()?, names, repeated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn update() -> Update {
        let source =
            Source { group: "g".into(), topic: "t".into(), log_id: "l".into(), partition: 3 };
        let sale = |category: i32, product: &str| {
            let product_id = product.into();
            Sale { category, product_id, price: 2.5, quantity: 1 }.to_json()
        };
        let values = [sale(1, "a"), b"{}".to_vec(), sale(2, "b"), sale(2, "c")];
        let keys: [Option<&[u8]>; 4] = [Some(b"k"), None, None, Some(b"l")];
        let records = values.iter().zip(keys).zip(10..);
        let records = records.map(|((value, idempotency_key), offset)| Record {
            offset,
            timestamp_ms: Some(1_000 + offset),
            idempotency_key,
            value: Some(value),
        });
        let range = OffsetRange { start: 10, end: 14, expected_position: Some(10) };
        Update::from_records(source, range, RetentionLimits::default(), records)
    }

    fn values(words: &[&str]) -> Reply {
        Reply::Values(words.iter().map(|word| (*word).to_owned()).collect())
    }

    fn has(command: &Command, word: &str) -> bool {
        command.words().any(|argument| argument == word.as_bytes())
    }

    #[test]
    fn sends_the_source_if_the_script_is_unknown() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        let command = update.command(&monitored);
        let start: Vec<_> = command.words().take(2).collect();
        assert_eq!((start[0], start[1].len()), (&b"EVALSHA"[..], 40));
        let unknown = || Reply::Error("NOSCRIPT No matching script.".into());
        assert_eq!(update.reply(unknown(), &mut monitored), Ok(Step::Again));
        assert!(has(&update.command(&monitored), "EVAL"));
        // The source was sent, so the error has another cause.
        assert!(matches!(update.reply(unknown(), &mut monitored), Err(Error::Refused(_))));
    }

    #[test]
    fn a_position_inside_of_the_batch_removes_the_applied_records() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        let inside = values(&["differs", "12", "2", "a", "z", "0"]);
        assert_eq!(update.reply(inside, &mut monitored), Ok(Step::Again));
        let command = update.command(&monitored);
        assert!(has(&command, "12") && has(&command, "c") && has(&command, "z"));
        assert!(!has(&command, "a"), "Electronica is no longer in the batch");
        assert_eq!(monitored.get(Category::Electronica), Some("a"));
        let rejected: Vec<_> = update.rejections().iter().map(|r| r.offset).collect();
        assert_eq!(rejected, [11], "its dead letter may not have been written");
    }

    #[test]
    fn a_position_that_moves_back_within_the_batch_is_retried() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        let inside = values(&["differs", "12", "2", "a", "z"]);
        assert_eq!(update.reply(inside, &mut monitored), Ok(Step::Again));
        let contended = update.reply(values(&["rewind", "10"]), &mut monitored);
        assert_eq!(contended, Err(Error::Contended { calls: 2 }));
        let before = update.reply(values(&["rewind", "9"]), &mut monitored);
        assert_eq!(before, Ok(Step::Rewind(9)));
    }

    #[test]
    fn stores_the_monitored_products() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        let report = values(&["differs", "10", "2", "", "c"]);
        assert_eq!(update.reply(report, &mut monitored), Ok(Step::Again));
        assert_eq!(monitored.get(Category::Ropa), Some("c"));
        assert_eq!(update.reply(values(&["applied"]), &mut monitored), Ok(Step::Done));
        assert_eq!(monitored.get(Category::Electronica), Some("a"), "the first of its category");
        assert_eq!(update.rejections().iter().map(|r| r.offset).collect::<Vec<_>>(), [11]);
    }

    #[test]
    fn removes_sales_that_were_counted_before() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        let report = values(&["differs", "10", "2", "", "", "1"]);
        assert_eq!(update.reply(report, &mut monitored), Ok(Step::Again));
        let command = update.command(&monitored);
        assert!(has(&command, "a") && has(&command, "b") && !has(&command, "c"));
    }

    #[test]
    fn the_first_of_several_records_with_the_same_key_and_body_is_kept() {
        let value = Sale { category: 1, product_id: "a".into(), price: 1.0, quantity: 1 }.to_json();
        let other = Sale { category: 1, product_id: "b".into(), price: 1.0, quantity: 1 }.to_json();
        let record = |offset, key: Option<&'static str>, value| Record {
            offset,
            timestamp_ms: None,
            idempotency_key: key.map(str::as_bytes),
            value: Some(value),
        };
        let records = [
            record(0, Some("k"), &value[..]),
            record(1, Some("k"), &value),
            record(2, None, &value),
            record(3, None, &value),
            record(4, Some("k"), &other),
        ];
        let source =
            Source { group: "g".into(), topic: "t".into(), log_id: "l".into(), partition: 0 };
        let range = OffsetRange { start: 0, end: 5, expected_position: None };
        let update = Update::from_records(source, range, RetentionLimits::default(), records);
        let offsets: Vec<_> = update.entries.iter().map(|entry| entry.offset).collect();
        assert_eq!(offsets, [0, 2, 3, 4], "another body is another sale");
    }

    #[test]
    fn ends_as_the_script_reports() {
        for (words, step) in [
            (&["applied"][..], Step::Done),
            (&["duplicate", "14"], Step::Done),
            (&["rewind", "4"], Step::Rewind(4)),
            (&["lost"], Step::Lost),
        ] {
            assert_eq!(update().reply(values(words), &mut Monitored::default()), Ok(step));
        }
    }

    #[test]
    fn an_invalid_reply_of_the_script_is_an_error() {
        for words in [
            &[][..],
            &["ok"],
            &["rewind"],
            &["rewind", "x"],
            &["differs"],
            &["differs", "12", "3", "a"],
            &["differs", "12", "1", "a", "x"],
        ] {
            let result = update().reply(values(words), &mut Monitored::default());
            assert!(matches!(result, Err(Error::Unexpected(_))), "{words:?}: {result:?}");
        }
    }

    #[test]
    fn the_number_of_calls_is_limited() {
        let (mut update, mut monitored) = (update(), Monitored::default());
        for call in 1..CALLS_MAX {
            let step = update.reply(values(&["differs", "10", "2", "x", "y"]), &mut monitored);
            assert_eq!(step, Ok(Step::Again), "{call}");
        }
        let result = update.reply(values(&["differs", "10", "2", "x", "y"]), &mut monitored);
        assert_eq!(result, Err(Error::Contended { calls: CALLS_MAX }));
    }
}
