//! Prints what happened to the records.

use std::collections::BTreeMap;

use printing::{Unwritten, one_line};
use spin_kafka_trigger::{Error, RecordOutcome};

use crate::bytes::shown;
use crate::records::FileRecord;

/// The most records that are shown because they were given up.
const SHOWN_MAX: u64 = 20;
/// The longest key, value or header that is shown, in characters.
const CONTENT_CHARS: usize = 500;
/// The longest reason that is shown, in characters.
const REASON_CHARS: usize = 4_096;

/// Counts the results, and shows the records that were given up.
#[derive(Default)]
pub struct Report {
    /// Number of records by result.
    counts: BTreeMap<String, u64>,
    given_up: u64,
    /// Number of records that the component returned.
    written: usize,
    is_stopped: bool,
}

impl Report {
    /// Notes the result of a record. `output` is what the component printed in its last call
    /// with only this record.
    pub fn add(
        &mut self,
        partition: i32,
        record: &FileRecord,
        outcome: &RecordOutcome,
        output: Option<&str>,
    ) -> Result<(), Unwritten> {
        *self.counts.entry(outcome.name()).or_default() += 1;
        let RecordOutcome::GivenUp { class, attempts, reason } = outcome else { return Ok(()) };
        self.given_up += 1;
        if self.given_up > SHOWN_MAX {
            return Ok(());
        }
        let (line, attempt) = (record.line, if *attempts == 1 { "attempt" } else { "attempts" });
        printing::result(format_args!("line {line}: {class} after {attempts} {attempt}"))?;
        print_record(partition, record)?;
        print_field("reason", &cut(&shown(Some(reason.trim_end().as_bytes())), REASON_CHARS))?;
        output
            .map_or(Ok(()), |output| print_field("output", &shown(Some(output.trim().as_bytes()))))
    }

    /// Notes that the trigger stopped, and shows the record at which it did.
    pub fn stopped(
        &mut self,
        partition: i32,
        records: &[FileRecord],
        error: &Error,
    ) -> Result<(), Unwritten> {
        self.is_stopped = true;
        printing::result(format_args!("the trigger stopped: {}", one_line(&error.to_string())))?;
        let (Error::Poison { offset, .. } | Error::Handler { offset, .. }) = error else {
            return Ok(());
        };
        let at = records.binary_search_by_key(offset, |record| record.message.offset);
        match at.ok().and_then(|at| records.get(at)) {
            Some(record) => {
                printing::result(format_args!("line {}:", record.line))?;
                print_record(partition, record)
            }
            None => Ok(()),
        }
    }

    /// Notes that the trigger would write this many records.
    pub fn add_written(&mut self, records: usize) {
        self.written += records;
    }

    /// Prints the number of records by result.
    pub fn print_counts(&self) -> Result<(), Unwritten> {
        if self.given_up > SHOWN_MAX {
            let more = self.given_up - SHOWN_MAX;
            printing::result(format_args!("... and {more} more records were given up"))?;
        }
        let all: u64 = self.counts.values().sum();
        let counts: Vec<String> =
            self.counts.iter().map(|(result, count)| format!("{count} {result}")).collect();
        printing::result(format_args!("{all} records: {}", counts.join(", ")))?;
        match self.written {
            0 => Ok(()),
            written => printing::result(format_args!("{written} records would be written")),
        }
    }

    /// Whether every record was applied or filtered.
    pub fn is_clean(&self) -> bool {
        self.given_up == 0 && !self.is_stopped
    }

    /// Whether the trigger stopped before the end of the file.
    pub fn is_stopped(&self) -> bool {
        self.is_stopped
    }
}

fn print_record(partition: i32, record: &FileRecord) -> Result<(), Unwritten> {
    let message = &record.message;
    print_field("record", &format!("partition {partition}, offset {}", message.offset))?;
    print_field("key", &cut(&shown(message.key.as_deref()), CONTENT_CHARS))?;
    print_field("value", &cut(&shown(message.value.as_deref()), CONTENT_CHARS))?;
    message.headers.iter().try_for_each(|header| {
        let (name, value) = (shown(Some(header.name.as_bytes())), shown(header.value.as_deref()));
        print_field("header", &cut(&format!("{name}: {value}"), CONTENT_CHARS))
    })
}

/// Prints a field of a record. The further lines of a text are indented.
fn print_field(name: &str, text: &str) -> Result<(), Unwritten> {
    let text = text.replace('\n', "\n            ");
    printing::result(format_args!("  {name:<8}  {text}"))
}

/// The beginning of a text.
fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::cut;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(cut("ñandú", 5), "ñandú");
        assert_eq!(cut("ñandú", 2), "ña...");
    }
}
