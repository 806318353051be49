//! Reads metrics in the text formats of Prometheus and OpenMetrics. Each line that is not a comment
//! is a sample: `name{label="value",…} value [timestamp] [# exemplar]`.

mod family;

use std::borrow::Cow;

pub use family::{Family, families};

/// Timestamps below this are in seconds, as in OpenMetrics; others are in milliseconds, as in
/// Prometheus. In seconds it is the year 5138, in milliseconds 1973.
const SECONDS_BELOW: f64 = 1e11;

/// A line with a sample, of which only the name is read yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// The number of the line, from 1.
    pub number: usize,
    /// The name of the metric, with the suffix of its type, such as `_total` or `_bucket`.
    pub name: &'a str,
    rest: &'a str,
}

/// A sample.
#[derive(Debug, PartialEq)]
pub struct Sample<'a> {
    labels: Labels<'a>,
    /// The value.
    pub value: f64,
    /// When the value was read, in milliseconds since 1970-01-01 UTC, if the line has a timestamp.
    pub time_ms: Option<i64>,
}

/// The labels by name, in the order of the line.
type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// A line that is not a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not a metric in the text format of Prometheus")]
pub struct NotASample {
    /// The number of the line, from 1.
    pub line: usize,
}

/// The lines with samples. Empty lines and comments are skipped.
pub fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let numbered = text.lines().enumerate();
    let is_sample = |(_, line): &(usize, &str)| !line.is_empty() && !line.starts_with('#');
    numbered.filter(is_sample).map(|(index, line)| Line::new(index + 1, line))
}

impl<'a> Line<'a> {
    fn new(number: usize, line: &'a str) -> Self {
        let (name, rest) = line.split_at(line.find(['{', ' ', '\t']).unwrap_or(line.len()));
        Self { number, name, rest }
    }

    /// Reads the rest of the line.
    pub fn sample(&self) -> Result<Sample<'a>, NotASample> {
        let sample = is_name(self.name).then(|| Sample::parse(self.rest)).flatten();
        sample.ok_or(NotASample { line: self.number })
    }
}

impl<'a> Sample<'a> {
    /// Parses what follows the name. `None` if it is not valid.
    fn parse(rest: &'a str) -> Option<Self> {
        let rest = rest.trim_start();
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => labels(rest)?,
            None => (Vec::new(), rest),
        };
        let mut words = rest.split_ascii_whitespace();
        let value = words.next()?.parse().ok()?;
        let time_ms = match words.next() {
            None | Some("#") => None,
            Some(word) => Some(time_ms(word)?),
        };
        Some(Self { labels, value, time_ms })
    }

    /// The value of a label; empty if there is none.
    pub fn label(&self, name: &str) -> &str {
        let label = self.labels.iter().find(|(own, _)| *own == name);
        label.map_or("", |(_, value)| value)
    }

    /// The names and values of all labels, in the order of the line.
    pub fn labels(&self) -> impl Iterator<Item = (&'a str, &str)> {
        self.labels.iter().map(|(name, value)| (*name, &**value))
    }

    /// The value as a count: whole, not negative, 0 if it is not a number.
    pub fn count(&self) -> u64 {
        // The conversion saturates.
        self.value as u64
    }
}

/// Splits off the labels, up to the closing brace.
fn labels(mut rest: &str) -> Option<(Labels<'_>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ', '\t']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = quoted(after.trim_start().strip_prefix('"')?)?;
        labels.push((name.trim_end(), value));
        rest = after;
    }
}

/// Splits off a value, up to the closing quote.
fn quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut is_escaped = false;
    for (index, c) in text.char_indices() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => {
                let (value, rest) = text.split_at_checked(index)?;
                return Some((unescape(value), rest.strip_prefix('"')?));
            }
            _ => {}
        }
    }
    None
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return value.into();
    }
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next().map(|c| if c == 'n' { '\n' } else { c })),
            c => plain.push(c),
        }
    }
    plain.into()
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_part)
}

fn time_ms(word: &str) -> Option<i64> {
    let number: f64 = word.parse().ok()?;
    let ms = if number.abs() < SECONDS_BELOW { number * 1_000.0 } else { number };
    // The conversion saturates.
    number.is_finite().then_some(ms as i64)
}

#[cfg(test)]
mod tests;
