//! The application of one batch to Valkey.

use std::collections::HashSet;
use std::str::FromStr;

use valkey_command::{Command, ScriptRef, is_unknown_script};

use crate::call::Call;
use crate::limits::CALLS_MAX;
use crate::{Error, Fingerprint, OffsetRange, RetentionLimits, Source, State};

/// What identifies a record of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordId {
    /// The record's offset.
    pub offset: i64,
    /// When it was written, in milliseconds since 1970; None if the record has no timestamp.
    pub timestamp_ms: Option<i64>,
    /// Identifies a record that a client may send again; None if the record has no idempotency key.
    pub fingerprint: Option<Fingerprint>,
}

/// Valkey's reply to the command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The script's return value: an array of words.
    Values(Vec<Vec<u8>>),
    /// An error, including its code.
    Error(String),
}

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The batch is applied, by this call or an earlier one.
    Done,
    /// Send [`Transaction::command`] again, with the same state.
    Send,
    /// Run the function again, with a new state, on the records that [`Transaction::includes`], and
    /// send its changes.
    Run,
    /// The store lost its last updates: read again from this position.
    Rewind(i64),
    /// The store lost all data of this partition.
    Lost,
}

/// The application of one batch. It does no I/O: run the function on the records that
/// [`Transaction::includes`], send [`Transaction::command`], pass the reply to
/// [`Transaction::reply`], and continue as the returned [`Step`] says.
#[derive(Debug)]
pub struct Transaction {
    pub(crate) source: Source,
    pub(crate) range: OffsetRange,
    /// Where the batch begins. The range may begin later, at the stored position.
    batch_start: i64,
    pub(crate) limits: RetentionLimits,
    /// The offsets and fingerprints of the records that have one.
    pub(crate) known: Vec<(i64, Fingerprint)>,
    pub(crate) newest_ms: Option<i64>,
    /// The offsets of records that repeat others.
    repeated: HashSet<i64>,
    /// The stored values, if they differ from those that the function had read.
    stored: Vec<Option<Vec<u8>>>,
    script: ScriptRef,
    calls: u32,
}

impl Transaction {
    /// The application of a batch with these records. If several records have the same fingerprint,
    /// the first one is included.
    pub fn new(
        source: Source,
        range: OffsetRange,
        limits: RetentionLimits,
        records: impl IntoIterator<Item = RecordId>,
    ) -> Self {
        let records = records.into_iter();
        let count = records.size_hint().0;
        let (mut known, mut seen) = (Vec::with_capacity(count), HashSet::with_capacity(count));
        let (mut repeated, mut newest_ms) = (HashSet::new(), None);
        for RecordId { offset, timestamp_ms, fingerprint } in records {
            newest_ms = newest_ms.max(timestamp_ms);
            let Some(fingerprint) = fingerprint else { continue };
            if seen.insert(fingerprint) {
                known.push((offset, fingerprint));
            } else {
                repeated.insert(offset);
            }
        }
        let (batch_start, script, calls) = (range.start, ScriptRef::Sha, 0);
        let stored = Vec::new();
        Self {
            source,
            range,
            batch_start,
            limits,
            known,
            newest_ms,
            repeated,
            stored,
            script,
            calls,
        }
    }

    /// Whether the function handles the record with this offset. It does not if the record was
    /// applied before, or repeats another one.
    pub fn includes(&self, offset: i64) -> bool {
        offset >= self.range.start && !self.repeated.contains(&offset)
    }

    /// The position from which on the function handles the records.
    pub fn start(&self) -> i64 {
        self.range.start
    }

    /// After [`Step::Run`], the stored values of what the function had read, in the order in which
    /// it was recorded. Empty if they are the same, and if they are too large for a reply: read them
    /// then. The script compares them once more.
    pub fn stored_values(&self) -> &[Option<Vec<u8>>] {
        &self.stored
    }

    /// The command to send next: one call of the script. Fails if the function made a change that is
    /// not possible.
    pub fn command(&self, state: &State) -> Result<Command, Error> {
        state.check()?;
        Ok(Call::build(self.script, self, state)?)
    }

    /// Evaluates the reply to the command.
    pub fn reply(&mut self, reply: Reply) -> Result<Step, Error> {
        self.calls += 1;
        let step = match reply {
            Reply::Values(values) => self.evaluate(&values)?,
            Reply::Error(text) if is_unknown_script(&text) && self.script == ScriptRef::Sha => {
                self.script = ScriptRef::Source;
                Step::Send
            }
            Reply::Error(text) if is_about_a_value(&text) => return Err(Error::Stored(text)),
            Reply::Error(text) if text.starts_with(PARTIAL) => return Err(Error::Partial(text)),
            Reply::Error(text) => return Err(Error::Refused(text)),
        };
        if self.calls == CALLS_MAX && matches!(step, Step::Send | Step::Run) {
            return Err(Error::Contended);
        }
        Ok(step)
    }

    fn evaluate(&mut self, values: &[Vec<u8>]) -> Result<Step, Error> {
        let unexpected =
            || Error::Unexpected(String::from_utf8_lossy(&values.join(&b' ')).into_owned());
        let (word, rest) = values.split_first().ok_or_else(unexpected)?;
        let position = || rest.first().and_then(|text| number(text)).ok_or_else(unexpected);
        match &word[..] {
            b"applied" | b"duplicate" => Ok(Step::Done),
            // The position moved back while the batch was being applied, but not beyond its start.
            // The same batch can still be applied.
            b"rewind" if position()? >= self.batch_start => Err(Error::Contended),
            b"rewind" => Ok(Step::Rewind(position()?)),
            b"lost" => Ok(Step::Lost),
            b"again" => {
                let Differences { position, repeated, stored } =
                    Differences::parse(rest).ok_or_else(unexpected)?;
                (self.range.start, self.stored) = (position, stored);
                self.leave_out(&repeated);
                Ok(Step::Run)
            }
            _ => Err(unexpected()),
        }
    }

    /// Removes the records with these fingerprints, and those before the start.
    fn leave_out(&mut self, indexes: &HashSet<usize>) {
        let mut index = 0;
        let (start, repeated) = (self.range.start, &mut self.repeated);
        self.known.retain(|(offset, _)| {
            let was_applied = indexes.contains(&index);
            index += 1;
            if was_applied {
                repeated.insert(*offset);
            }
            !was_applied && *offset >= start
        });
    }
}

/// The reply `again` of the script.
struct Differences {
    position: i64,
    /// The indexes of fingerprints.
    repeated: HashSet<usize>,
    stored: Vec<Option<Vec<u8>>>,
}

impl Differences {
    fn parse(words: &[Vec<u8>]) -> Option<Self> {
        let [position, count, rest @ ..] = words else { return None };
        let (repeated, values) = rest.split_at_checked(number(count)?)?;
        let repeated = repeated.iter().map(|index| number(index)).collect::<Option<_>>()?;
        let value = |words: &[Vec<u8>]| match words {
            [exists, value] if exists == b"1" => Some(Some(value.clone())),
            [exists, _] if exists == b"0" => Some(None),
            _ => None,
        };
        let stored = values.chunks(2).map(value).collect::<Option<_>>()?;
        Some(Self { position: number(position)?, repeated, stored })
    }
}

fn number<N: FromStr>(text: &[u8]) -> Option<N> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// Start of the script's error if it wrote only a part of the changes.
const PARTIAL: &str = "PARTIAL ";

/// Whether the script's error is about a value in Valkey: a retry does not help.
fn is_about_a_value(error: &str) -> bool {
    ["WRONGTYPE ", "OVERFLOW "].iter().any(|code| error.starts_with(code))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Namespace;

    /// Records 10 to 13; 10 and 12 have the same fingerprint.
    fn transaction() -> Transaction {
        let source = Source {
            namespace: Namespace::new("n", 1).unwrap(),
            group: "g".into(),
            topic: "t".into(),
            log_id: "l".into(),
            partition: 3,
        };
        let keys = [Some("a"), None, Some("a"), Some("b")];
        let records = keys.into_iter().zip(10..).map(|(key, offset)| RecordId {
            offset,
            timestamp_ms: None,
            fingerprint: key.map(|key| Fingerprint::new(key.as_bytes(), b"")),
        });
        let range = OffsetRange { start: 10, end: 14, expected_position: Some(10) };
        Transaction::new(source, range, RetentionLimits::default(), records)
    }

    fn included(transaction: &Transaction) -> Vec<i64> {
        (8..14).filter(|offset| transaction.includes(*offset)).collect()
    }

    fn values(words: &[&str]) -> Reply {
        Reply::Values(words.iter().map(|word| word.as_bytes().into()).collect())
    }

    #[test]
    fn the_first_of_several_records_with_the_same_fingerprint_is_included() {
        assert_eq!(included(&transaction()), [10, 11, 13]);
    }

    #[test]
    fn records_that_were_applied_before_are_left_out() {
        let mut transaction = transaction();
        assert_eq!(transaction.reply(values(&["again", "11", "1", "1"])), Ok(Step::Run));
        assert_eq!(included(&transaction), [11]);
        assert_eq!(transaction.reply(values(&["again", "12", "0"])), Ok(Step::Run));
        assert_eq!(included(&transaction), [] as [i64; 0]);
    }

    #[test]
    fn values_that_differ_are_returned() {
        let mut transaction = transaction();
        let reply = values(&["again", "10", "1", "1", "1", "new", "0", ""]);
        assert_eq!(transaction.reply(reply), Ok(Step::Run));
        assert_eq!(transaction.stored_values(), [Some(b"new".to_vec()), None]);
        assert_eq!(transaction.reply(values(&["again", "11", "0"])), Ok(Step::Run));
        assert!(transaction.stored_values().is_empty(), "they are the same");
    }

    #[test]
    fn a_position_that_moves_back_within_the_batch_is_retried() {
        let mut transaction = transaction();
        assert_eq!(transaction.reply(values(&["again", "12", "0"])), Ok(Step::Run));
        let contended = transaction.reply(values(&["rewind", "10"]));
        assert_eq!(contended, Err(Error::Contended));
        assert_eq!(transaction.reply(values(&["rewind", "9"])), Ok(Step::Rewind(9)));
    }

    #[test]
    fn a_partial_write_is_not_retried() {
        let text = "PARTIAL the command XADD failed for the key a after others were written";
        let error = transaction().reply(Reply::Error(text.into())).unwrap_err();
        assert_eq!(error, Error::Partial(text.into()));
        assert!(!error.is_retriable());
    }

    #[test]
    fn sends_the_source_if_the_script_is_unknown() {
        let (mut transaction, state) = (transaction(), State::default());
        let first = |transaction: &Transaction| {
            transaction.command(&state).unwrap().words().next().unwrap().to_vec()
        };
        assert_eq!(first(&transaction), b"EVALSHA");
        let unknown = || Reply::Error("NOSCRIPT No matching script.".into());
        assert_eq!(transaction.reply(unknown()), Ok(Step::Send));
        assert_eq!(first(&transaction), b"EVAL");
        // The source was sent, so the error has another cause.
        assert!(matches!(transaction.reply(unknown()), Err(Error::Refused(_))));
    }

    #[test]
    fn ends_as_the_script_reports() {
        for (words, step) in [
            (&["applied"][..], Step::Done),
            (&["duplicate", "14"], Step::Done),
            (&["rewind", "4"], Step::Rewind(4)),
            (&["lost"], Step::Lost),
        ] {
            assert_eq!(transaction().reply(values(words)), Ok(step));
        }
    }

    #[test]
    fn an_invalid_reply_of_the_script_is_an_error() {
        for words in [
            &[][..],
            &["ok"],
            &["rewind"],
            &["rewind", "x"],
            &["again"],
            &["again", "12"],
            &["again", "12", "1"],
            &["again", "12", "1", "x"],
            &["again", "12", "0", "1"],
            &["again", "12", "0", "2", "x"],
        ] {
            let result = transaction().reply(values(words));
            assert!(matches!(result, Err(Error::Unexpected(_))), "{words:?}: {result:?}");
        }
    }

    #[test]
    fn the_number_of_calls_is_limited() {
        let mut transaction = transaction();
        for call in 1..CALLS_MAX {
            assert_eq!(transaction.reply(values(&["again", "10", "0"])), Ok(Step::Run), "{call}");
        }
        assert_eq!(transaction.reply(values(&["again", "10", "0"])), Err(Error::Contended));
    }
}
