//! A parser for the samples of an OpenMetrics text.
//!
//! The descriptions (`# HELP`, `# TYPE`, `# UNIT`), timestamps and exemplars are skipped.

use std::borrow::Cow;

/// One sample.
#[derive(Debug, PartialEq)]
pub struct Sample<'a> {
    /// The name, with the suffix of its type, such as `_total` or `_bucket`.
    pub name: &'a str,
    /// The labels in the order of the text.
    pub labels: Vec<(&'a str, Cow<'a, str>)>,
    /// The value.
    pub value: f64,
}

impl Sample<'_> {
    /// The value of a label; empty if it does not exist.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(label, _)| *label == name).map_or("", |(_, value)| value)
    }
}

/// A text that is not OpenMetrics.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// A line is not a sample.
    #[error("line {line}: {reason}")]
    Line {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// The text was cut off.
    #[error("the end `# EOF` is missing")]
    NoEnd,
}

/// Parses a text, which must end with `# EOF`.
pub fn parse(text: &str) -> Result<Vec<Sample<'_>>, ParseError> {
    let mut samples = Vec::new();
    let mut lines = text.lines().enumerate();
    for (index, line) in lines.by_ref() {
        let fault = |reason| ParseError::Line { line: index + 1, reason };
        if line == "# EOF" {
            return match lines.next() {
                None => Ok(samples),
                Some(_) => Err(fault("`# EOF` is not the last line")),
            };
        }
        if !line.starts_with('#') {
            samples.push(sample(line).map_err(fault)?);
        }
    }
    Err(ParseError::NoEnd)
}

fn sample(line: &str) -> Result<Sample<'_>, &'static str> {
    let end = line.find(['{', ' ']).ok_or("there is no value")?;
    let (name, rest) = line.split_at_checked(end).ok_or("there is no value")?;
    if !is_name(name) {
        return Err("this is not the name of a metric");
    }
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let rest = rest.strip_prefix(' ').ok_or("there is no value")?;
    let value = rest.split(' ').next().unwrap_or_default();
    let value = value.parse().map_err(|_| "the value is not a number")?;
    Ok(Sample { name, labels, value })
}

type Labels<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Reads labels up to the closing brace, and returns what follows it.
fn labels(mut rest: &str) -> Result<(Labels<'_>, &str), &'static str> {
    let mut labels = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return Ok((labels, after));
        }
        let (name, after) = rest.split_once("=\"").ok_or("a label has no value")?;
        if !is_name(name) {
            return Err("this is not the name of a label");
        }
        let (value, after) = quoted(after)?;
        labels.push((name, value));
        rest = match after.strip_prefix(',') {
            Some(more) => more,
            None if after.starts_with('}') => after,
            None => return Err("there is neither `,` nor `}` after a label"),
        };
    }
}

/// Reads a value up to its closing quote, and returns what follows it.
fn quoted(text: &str) -> Result<(Cow<'_, str>, &str), &'static str> {
    let mut unescaped = String::new();
    let mut rest = text;
    loop {
        let end = rest.find(['"', '\\']).ok_or("the value of a label does not end")?;
        let (plain, special) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if let Some(after) = special.strip_prefix('"') {
            if unescaped.is_empty() {
                return Ok((Cow::Borrowed(plain), after));
            }
            return Ok((Cow::Owned(unescaped + plain), after));
        }
        unescaped += plain;
        let mut escape = special.chars();
        escape.next();
        unescaped.push(match escape.next() {
            Some('n') => '\n',
            Some(c @ ('"' | '\\')) => c,
            _ => return Err("the value of a label has an unknown escape"),
        });
        rest = escape.as_str();
    }
}

fn is_name(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::metrics::counter::Counter;
    use prometheus_client::metrics::family::Family;
    use prometheus_client::metrics::histogram::Histogram;
    use prometheus_client::registry::Registry;

    use super::*;

    fn one(line: &str) -> Result<(String, Vec<(String, String)>, f64), ParseError> {
        let text = format!("{line}\n# EOF\n");
        let mut samples = parse(&text)?;
        assert_eq!(samples.len(), 1, "{line}");
        let Sample { name, labels, value } = samples.remove(0);
        let labels = labels.into_iter().map(|(name, value)| (name.into(), value.into_owned()));
        Ok((name.into(), labels.collect(), value))
    }

    #[test]
    fn samples_have_names_labels_and_values() {
        for (line, name, labels, value) in [
            ("up 1", "up", &[][..], 1.0),
            ("up{} 1.5", "up", &[], 1.5),
            (
                r#"a:b_total{x="1",y="two words"} 12"#,
                "a:b_total",
                &[("x", "1"), ("y", "two words")],
                12.0,
            ),
            (r#"a{x="",} -2e3"#, "a", &[("x", "")], -2_000.0),
            (r#"a{x="q\"b\\n\n}{,"} 0"#, "a", &[("x", "q\"b\\n\n}{,")], 0.0),
            (r#"a{x="\\"} 0"#, "a", &[("x", "\\")], 0.0),
            (r#"a{x="ñ=🛒"} 0"#, "a", &[("x", "ñ=🛒")], 0.0),
            (r#"h_bucket{le="+Inf"} 7 1700000000.1"#, "h_bucket", &[("le", "+Inf")], 7.0),
            (r##"h_bucket{le="1"} 7 # {trace_id="x"} 0.5"##, "h_bucket", &[("le", "1")], 7.0),
            ("a +Inf", "a", &[], f64::INFINITY),
        ] {
            let labels: Vec<_> =
                labels.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            assert_eq!(one(line), Ok((name.into(), labels, value)), "{line}");
        }
        assert!(one("a NaN").unwrap().2.is_nan());
    }

    #[test]
    fn other_lines_are_faults() {
        for line in [
            "",
            "a",
            "a ",
            "a x",
            "1a 1",
            "a-b 1",
            "{a=\"b\"} 1",
            "a{b} 1",
            "a{b=c} 1",
            "a{b=\"c} 1",
            "a{b=\"c\" 1",
            "a{b=\"c\"}1",
            "a{b=\"c\"d=\"e\"} 1",
            "a{1=\"c\"} 1",
            r#"a{b="\t"} 1"#,
            r#"a{b="\"#,
            "<html>",
        ] {
            let fault = one(line).unwrap_err();
            assert!(matches!(fault, ParseError::Line { line: 1, .. }), "{line}: {fault}");
        }
    }

    #[test]
    fn the_end_is_required() {
        assert_eq!(parse("# EOF"), Ok(vec![]));
        assert_eq!(parse("# HELP up x\n# TYPE up gauge\n# EOF\n"), Ok(vec![]));
        assert_eq!(parse(""), Err(ParseError::NoEnd));
        assert_eq!(parse("up 1\n"), Err(ParseError::NoEnd));
        assert!(matches!(parse("# EOF\nup 1\n"), Err(ParseError::Line { line: 1, .. })));
    }

    #[test]
    fn what_the_operator_port_encodes_is_read_back() {
        let mut registry = Registry::default();
        let requests = Family::<Vec<(String, String)>, Counter>::default();
        registry.register("requests", "Requests", requests.clone());
        let component = "a \"b\" \\ c\nd";
        requests.get_or_create(&vec![("component".into(), component.into())]).inc_by(3);
        let seconds = Histogram::new([0.5]);
        seconds.observe(0.7);
        registry.register("seconds", "Duration", seconds);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let samples = parse(&text).unwrap();
        let value = |name: &str, label: &str, value: &str| {
            let mut found = samples.iter().filter(|sample| sample.name == name);
            found.find(|sample| sample.label(label) == value).map(|sample| sample.value)
        };
        assert_eq!(value("requests_total", "component", component), Some(3.0), "{text}");
        assert_eq!(value("seconds_bucket", "le", "0.5"), Some(0.0), "{text}");
        assert_eq!(value("seconds_bucket", "le", "+Inf"), Some(1.0), "{text}");
    }
}
