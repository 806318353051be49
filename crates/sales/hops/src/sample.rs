//! One line of the text format: `name{label="value",…} value [timestamp] [# exemplar]`.

use std::borrow::Cow;

/// Timestamps below this are in seconds, as in OpenMetrics; others are in milliseconds, as in
/// Prometheus. In seconds it is the year 5138, in milliseconds 1973.
const SECONDS_BELOW: f64 = 1e11;

/// The labels, the value and the time of a line.
#[derive(Debug, PartialEq)]
pub(crate) struct Sample<'a> {
    labels: Vec<(&'a str, Cow<'a, str>)>,
    pub value: f64,
    /// When the value was read, in milliseconds since 1970-01-01 UTC.
    pub time_ms: Option<i64>,
}

/// Splits a line into the name of its metric and the rest. The name is empty for a comment.
pub(crate) fn split_name(line: &str) -> (&str, &str) {
    let end = line.find(['{', ' ', '\t', '#']).unwrap_or(line.len());
    line.split_at(end)
}

impl<'a> Sample<'a> {
    /// Parses what follows the name. `None` if it is not valid.
    pub fn parse(rest: &'a str) -> Option<Self> {
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

    /// The value as a count: whole, not negative, 0 if it is not a number.
    pub fn count(&self) -> u64 {
        // The conversion saturates.
        self.value as u64
    }
}

/// Splits off the labels, up to the closing brace.
fn labels(mut rest: &str) -> Option<(Vec<(&str, Cow<'_, str>)>, &str)> {
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

fn time_ms(word: &str) -> Option<i64> {
    let number: f64 = word.parse().ok()?;
    let ms = if number.abs() < SECONDS_BELOW { number * 1_000.0 } else { number };
    // The conversion saturates.
    number.is_finite().then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(line: &str) -> Option<Sample<'_>> {
        Sample::parse(split_name(line).1)
    }

    #[test]
    fn a_line_has_labels_a_value_and_a_time() {
        let line = r#"a_total{component="ingest", code="200",} 12.5 1700000000123"#;
        assert_eq!(split_name(line).0, "a_total");
        let parsed = sample(line).unwrap();
        assert_eq!((parsed.label("component"), parsed.label("code")), ("ingest", "200"));
        assert_eq!((parsed.label("pod"), parsed.value), ("", 12.5));
        assert_eq!(parsed.time_ms, Some(1_700_000_000_123));
        assert_eq!(sample("a 1 1700000000.123").unwrap().time_ms, Some(1_700_000_000_123));
        let exemplar = sample(r##"a_total{x="}"} 3 # {trace_id="\"1"} 0.5 1.0"##).unwrap();
        assert_eq!((exemplar.label("x"), exemplar.count(), exemplar.time_ms), ("}", 3, None));
        let escaped = r#"a{x="one \"two\" \\ \n=,}"} 1"#;
        assert_eq!(sample(escaped).unwrap().label("x"), "one \"two\" \\ \n=,}");
    }

    #[test]
    fn a_value_that_is_no_count_counts_as_zero() {
        for (value, count) in [("NaN", 0), ("-3", 0), ("+Inf", u64::MAX), ("1e3", 1_000)] {
            assert_eq!(sample(&format!("a {value}")).unwrap().count(), count, "{value}");
        }
    }

    #[test]
    fn a_comment_has_no_name() {
        for line in ["# TYPE a counter", "", "# EOF", "{\"a\"} 1"] {
            assert_eq!(split_name(line).0, "", "{line}");
        }
    }

    #[test]
    fn an_incomplete_line_is_no_sample() {
        for line in ["a", "a{", "a{x} 1", "a{x=1} 1", "a{x=\"1\" 1", "a{x=\"1\\\"} 1", "a one"] {
            assert_eq!(sample(line), None, "{line}");
        }
        assert_eq!(sample("a 1 soon"), None);
        assert_eq!(sample("a 1 NaN"), None);
    }
}
