//! The answers of a component, and their comparison with golden ones.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use printing::{Unwritten, one_line};
use serde::{Deserialize, Serialize};
use spin_kafka_trigger::{FailureClass, RecordOutcome};

/// The most differences that are shown.
const SHOWN_MAX: usize = 20;

/// The answers by partition and offset.
pub type Answers = BTreeMap<(i32, i64), Answer>;

/// What happened to a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    partition: i32,
    offset: i64,
    /// `applied`, `filtered`, `not-applied`, or the class of the dead letter.
    result: String,
    /// The component's reason. A trap has none: its text contains addresses in the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Answer {
    pub fn new((partition, offset): (i32, i64), outcome: &RecordOutcome) -> Self {
        let reason = match outcome {
            RecordOutcome::GivenUp {
                class: FailureClass::Rejected | FailureClass::Retries,
                reason,
                ..
            } => Some(reason.clone()),
            _ => None,
        };
        Self { partition, offset, result: outcome.name(), reason }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&one_line(&self.result))?;
        match &self.reason {
            Some(reason) => write!(formatter, ": {}", one_line(reason)),
            None => Ok(()),
        }
    }
}

/// Reads a golden file.
pub fn read(file: impl BufRead) -> Result<Answers> {
    let mut answers = Answers::new();
    for (number, line) in (1..).zip(file.lines()) {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer: Answer =
            strict_json::from_str(&line).with_context(|| format!("line {number}"))?;
        let at = (answer.partition, answer.offset);
        if answers.insert(at, answer).is_some() {
            bail!("line {number}: partition {}, offset {} occurs twice", at.0, at.1);
        }
    }
    Ok(answers)
}

/// Fails if a golden file cannot be written, so that this is known before the test is run.
pub fn check_writable(path: &Path) -> Result<()> {
    let is_new = !path.try_exists()?;
    OpenOptions::new().append(true).create(true).open(path)?;
    if is_new {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

/// Writes a golden file.
pub fn write(path: &Path, answers: &Answers) -> Result<()> {
    let mut text = String::new();
    for answer in answers.values() {
        text += &serde_json::to_string(answer)?;
        text += "\n";
    }
    Ok(std::fs::write(path, text)?)
}

/// Prints the differences. Returns whether there are none.
pub fn compare(expected: &Answers, found: &Answers) -> Result<bool, Unwritten> {
    let differences = differences(expected, found);
    for Difference { at: (partition, offset), expected, found } in
        differences.iter().take(SHOWN_MAX)
    {
        printing::result(format_args!("partition {partition}, offset {offset}"))?;
        for (sign, answer) in [('-', expected), ('+', found)] {
            if let Some(answer) = answer {
                printing::result(format_args!("  {sign} {answer}"))?;
            }
        }
    }
    if let Some(more @ 1..) = differences.len().checked_sub(SHOWN_MAX) {
        printing::result(format_args!("... and {more} more"))?;
    }
    let count = differences.len();
    printing::result(format_args!("{count} differences from the golden answers"))?;
    Ok(differences.is_empty())
}

/// A record whose answer is not the expected one.
#[derive(Debug, PartialEq)]
struct Difference<'a> {
    at: (i32, i64),
    /// `None` if the golden file does not contain the record.
    expected: Option<&'a Answer>,
    /// `None` if the file of records does not contain the record.
    found: Option<&'a Answer>,
}

fn differences<'a>(expected: &'a Answers, found: &'a Answers) -> Vec<Difference<'a>> {
    let added = found.keys().filter(|at| !expected.contains_key(at));
    let mut places: Vec<(i32, i64)> = expected.keys().chain(added).copied().collect();
    places.sort_unstable();
    let difference = |at| Difference { at, expected: expected.get(&at), found: found.get(&at) };
    let all = places.into_iter().map(difference);
    all.filter(|difference| difference.expected != difference.found).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(list: &[(i64, RecordOutcome)]) -> Answers {
        list.iter()
            .map(|(offset, outcome)| ((0, *offset), Answer::new((0, *offset), outcome)))
            .collect()
    }

    fn given_up(class: FailureClass, reason: &str) -> RecordOutcome {
        RecordOutcome::GivenUp { class, attempts: 3, reason: reason.into() }
    }

    #[test]
    fn changed_missing_and_added_answers_differ() {
        let expected = answers(&[
            (0, RecordOutcome::Applied),
            (1, given_up(FailureClass::Rejected, "no price")),
            (2, given_up(FailureClass::Trap, "at 0x1")),
            (3, RecordOutcome::Applied),
        ]);
        let found = answers(&[
            (0, RecordOutcome::Applied),
            (1, given_up(FailureClass::Rejected, "no category")),
            (2, given_up(FailureClass::Trap, "at 0x2")),
            (4, RecordOutcome::Filtered),
        ]);
        let differences = differences(&expected, &found);
        let shown = |answer: Option<&Answer>| answer.map(ToString::to_string);
        let shown: Vec<_> =
            differences.iter().map(|d| (d.at.1, shown(d.expected), shown(d.found))).collect();
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(
            shown,
            [
                (1, text("rejected: no price"), text("rejected: no category")),
                (3, text("applied"), None),
                (4, None, text("filtered")),
            ]
        );
        assert!(super::differences(&expected, &expected).is_empty());
    }

    #[test]
    fn a_golden_file_is_read_as_it_was_written() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let written = answers(&[
            (0, RecordOutcome::NotApplied),
            (9, given_up(FailureClass::Rejected, "a\nb")),
        ]);
        write(file.path(), &written).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert_eq!(read(text.as_bytes()).unwrap(), written);
        let twice = format!("{:#}", read(text.repeat(2).as_bytes()).unwrap_err());
        assert!(twice.contains("line 3") && twice.contains("twice"), "{twice}");
        let other = format!("{:#}", read(&b"\n{\"offset\":1}"[..]).unwrap_err());
        assert!(other.contains("line 2"), "{other}");
    }
}
