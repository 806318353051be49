//! Records in files: one JSON object a line. `docs/reference/records.md` describes the format.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, Read as _};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use printing::one_line;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use spin_kafka_trigger::{Header, Message, Start};

/// The longest line, without its end. A record of Kafka has 1 MiB by default; base64 needs a third
/// more.
const LINE_BYTES_MAX: usize = 16 << 20;
/// The most bytes of a file; all of its records are in memory at once.
pub const FILE_BYTES_MAX: usize = 256 << 20;

/// The records of a file by partition, in the order of their offsets.
pub type Partitions = BTreeMap<i32, Vec<FileRecord>>;

/// A record and the line that it is in.
#[derive(Debug, PartialEq, Eq)]
pub struct FileRecord {
    /// The number of the line, from 1.
    pub line: usize,
    pub message: Message,
}

/// A line of a file.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<Box<RawValue>>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Timestamp {
    Milliseconds(i64),
    Time(String),
}

/// An entry of a list of headers.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl HeaderLine {
    fn header(self) -> Result<Header> {
        let value = match (self.value, self.value_base64) {
            (Some(_), Some(_)) => bail!("`headers`: give either `value` or `value_base64`"),
            (value, None) => value.map(String::into_bytes),
            (None, Some(text)) => Some(decode("value_base64", &text)?),
        };
        Ok(Header { name: self.name.into(), value: value.map(Into::into) })
    }
}

/// Reads the records of a file. An error names the line.
pub fn read(mut file: impl BufRead) -> Result<Partitions> {
    let mut partitions = Partitions::new();
    let (mut line, mut bytes) = (0, 0);
    let mut text = Vec::new();
    loop {
        text.clear();
        let limit = LINE_BYTES_MAX as u64 + 1;
        let read = file.by_ref().take(limit).read_until(b'\n', &mut text)?;
        if read == 0 {
            return Ok(partitions);
        }
        line += 1;
        bytes += read;
        let is_whole = text.ends_with(b"\n") || read <= LINE_BYTES_MAX;
        ensure!(is_whole, "line {line}: longer than {LINE_BYTES_MAX} bytes");
        ensure!(bytes <= FILE_BYTES_MAX, "line {line}: more than {FILE_BYTES_MAX} bytes in all");
        if text.trim_ascii().is_empty() {
            continue;
        }
        add(&mut partitions, line, &text).with_context(|| format!("line {line}"))?;
    }
}

/// Adds the record of a line to its partition.
fn add(partitions: &mut Partitions, line: usize, text: &[u8]) -> Result<()> {
    let Line { partition, offset, timestamp, key, key_base64, value, value_base64, headers } =
        strict_json::from_slice(text)?;
    let partition = partition.unwrap_or_default();
    ensure!(partition >= 0, "`partition` is below 0");
    let records = partitions.entry(partition).or_default();
    let last = records.last().map(|record: &FileRecord| record.message.offset);
    let next = last.map_or(Some(0), |last| last.checked_add(1));
    let offset = offset.or(next).context("the last offset has no successor")?;
    ensure!((0..i64::MAX).contains(&offset), "`offset` is not an offset of Kafka");
    if let Some(last) = last.filter(|last| offset <= *last) {
        bail!("offset {offset} of partition {partition} is not above the one before, {last}");
    }
    let message = Message {
        offset,
        timestamp_ms: timestamp.map(milliseconds).transpose()?,
        key: content("key", key.as_deref(), key_base64)?.map(Into::into),
        value: content("value", value.as_deref(), value_base64)?.map(Into::into),
        headers: headers.map_or(Ok(Vec::new()), |headers| parse_headers(&headers))?,
    };
    records.push(FileRecord { line, message });
    Ok(())
}

fn milliseconds(timestamp: Timestamp) -> Result<i64> {
    match timestamp {
        Timestamp::Milliseconds(ms) => Ok(ms),
        Timestamp::Time(time) => match time.parse() {
            Ok(Start::Timestamp(ms)) => Ok(ms),
            _ => bail!("`timestamp`: `{time}` is not a time such as 2026-11-27T00:00:00Z"),
        },
    }
}

/// The bytes of a key or a value: a string without its quotes and escapes, or the text of any other
/// JSON value without spaces.
fn content(
    name: &str,
    value: Option<&RawValue>,
    base64: Option<String>,
) -> Result<Option<Vec<u8>>> {
    match (value, base64) {
        (Some(_), Some(_)) => bail!("give either `{name}` or `{name}_base64`"),
        (None, Some(text)) => decode(&format!("{name}_base64"), &text).map(Some),
        (Some(value), None) if value.get().starts_with('"') => {
            let text: String =
                serde_json::from_str(value.get()).with_context(|| format!("`{name}`"))?;
            Ok(Some(text.into_bytes()))
        }
        (Some(value), None) => Ok(Some(compact(value.get()))),
        (None, None) => Ok(None),
    }
}

fn decode(name: &str, text: &str) -> Result<Vec<u8>> {
    STANDARD.decode(text).map_err(|error| anyhow!("`{name}`: not base64: {error}"))
}

/// The JSON text without the white space between its tokens. Numbers and strings remain as they are
/// written.
fn compact(json: &str) -> Vec<u8> {
    let (mut in_string, mut is_escaped) = (false, false);
    let is_kept = |byte: &u8| {
        let is_quote = *byte == b'"' && !is_escaped;
        is_escaped = in_string && *byte == b'\\' && !is_escaped;
        in_string ^= is_quote;
        in_string || !byte.is_ascii_whitespace()
    };
    json.bytes().filter(is_kept).collect()
}

/// The headers of an object.
struct NamedHeaders(BTreeMap<String, Option<String>>);

impl<'de> Deserialize<'de> for NamedHeaders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueNames)
    }
}

/// Reads the members of an object, in which each name must occur once. A map of the standard library
/// would keep only the last of several.
struct UniqueNames;

impl<'de> Visitor<'de> for UniqueNames {
    type Value = NamedHeaders;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object with a string or null for each name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<NamedHeaders, A::Error> {
        let mut named = BTreeMap::new();
        while let Some((name, value)) = members.next_entry::<String, Option<String>>()? {
            if named.contains_key(&name) {
                let name = one_line(&name);
                return Err(A::Error::custom(format_args!(
                    "`{name}` occurs twice; write a list: [{{\"name\":…,\"value\":…}},…]"
                )));
            }
            named.insert(name, value);
        }
        Ok(NamedHeaders(named))
    }
}

/// Reads a list of headers, or an object with a header for each of its members.
fn parse_headers(json: &RawValue) -> Result<Vec<Header>> {
    if json.get().starts_with('{') {
        let NamedHeaders(named) = serde_json::from_str(json.get()).context("`headers`")?;
        let header = |(name, value): (String, Option<String>)| Header {
            name: name.into(),
            value: value.map(Into::into),
        };
        return Ok(named.into_iter().map(header).collect());
    }
    let lines: Vec<HeaderLine> = strict_json::from_str(json.get()).context("`headers`")?;
    lines.into_iter().map(HeaderLine::header).collect()
}

/// The line of a record, without its end.
pub fn line(partition: i32, message: &Message) -> Result<String> {
    let Message { offset, timestamp_ms, key, value, headers } = message;
    let (key, key_base64) = text_or_base64(key.as_deref());
    let (value, value_base64) = text_or_base64(value.as_deref());
    let raw = |text: Option<&str>| text.map(to_raw_value).transpose();
    let header = |header: &Header| {
        let (value, value_base64) = text_or_base64(header.value.as_deref());
        HeaderLine { name: header.name.to_string(), value: value.map(Into::into), value_base64 }
    };
    let headers: Vec<HeaderLine> = headers.iter().map(header).collect();
    let line = Line {
        partition: Some(partition),
        offset: Some(*offset),
        timestamp: timestamp_ms.map(Timestamp::Milliseconds),
        key: raw(key)?,
        key_base64,
        value: raw(value)?,
        value_base64,
        headers: (!headers.is_empty()).then(|| to_raw_value(&headers)).transpose()?,
    };
    Ok(serde_json::to_string(&line)?)
}

/// The bytes as text, or in base64 if they are not UTF-8.
fn text_or_base64(bytes: Option<&[u8]>) -> (Option<&str>, Option<String>) {
    match bytes.map(std::str::from_utf8) {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(_)) => (None, bytes.map(|bytes| STANDARD.encode(bytes))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Message {
        let mut partitions = read(line.as_bytes()).unwrap();
        partitions.pop_first().unwrap().1.remove(0).message
    }

    fn refused(file: &str) -> String {
        format!("{:#}", read(file.as_bytes()).unwrap_err())
    }

    #[test]
    fn keys_and_values_are_strings_json_bytes_or_null() {
        let value = |line| one(line).value.map(|bytes| String::from_utf8(bytes.into()).unwrap());
        assert_eq!(value(r#"{"value":"a\nb \u00f1"}"#).as_deref(), Some("a\nb ñ"));
        assert_eq!(value(r#"{"value":""}"#).as_deref(), Some(""));
        let json = r#"{"value": {"b": 1.50, "a": ["x \" y", null, 1e400]} }"#;
        assert_eq!(value(json).as_deref(), Some(r#"{"b":1.50,"a":["x \" y",null,1e400]}"#));
        assert_eq!(value(r#"{"value":"\\"}"#).as_deref(), Some("\\"));
        assert_eq!(value(r#"{"value": ["\\", 1]}"#).as_deref(), Some(r#"["\\",1]"#));
        assert_eq!(value(r#"{"value":null}"#), None);
        assert_eq!(value(r#"{"key":"k"}"#), None);
        assert_eq!(one(r#"{"key_base64":"/wA="}"#).key.as_deref(), Some(&b"\xff\x00"[..]));
    }

    #[test]
    fn offsets_follow_each_other_and_lines_are_counted() {
        let file =
            "{}\n\n{\"partition\":2}\n{\"offset\":7}\n{\"timestamp\":\"1970-01-01T00:00:01Z\"}";
        let partitions = read(file.as_bytes()).unwrap();
        let places = |partition| -> Vec<(usize, i64)> {
            partitions[&partition].iter().map(|r: &FileRecord| (r.line, r.message.offset)).collect()
        };
        assert_eq!(places(0), [(1, 0), (4, 7), (5, 8)]);
        assert_eq!(places(2), [(3, 0)]);
        assert_eq!(partitions[&0][2].message.timestamp_ms, Some(1_000));
    }

    #[test]
    fn headers_are_a_list_or_an_object() {
        let header = |name: &str, value: Option<&[u8]>| Header {
            name: name.into(),
            value: value.map(|value| value.to_vec().into()),
        };
        let list = r#"{"headers":[{"name":"b","value":"1"},{"name":"a","value_base64":"/w=="},
            {"name":"b"}]}"#;
        let expected = [header("b", Some(b"1")), header("a", Some(b"\xff")), header("b", None)];
        assert_eq!(one(&list.replace('\n', " ")).headers, expected);
        let object = one(r#"{"headers":{"b":null,"a":"1"}}"#).headers;
        assert_eq!(object, [header("a", Some(b"1")), header("b", None)]);
    }

    #[test]
    fn an_error_names_the_line_and_the_field() {
        let cases: [(&str, &[&str]); 12] = [
            ("{}\n{\"vlaue\":1}", &["line 2", "vlaue"]),
            ("{}\n\n{", &["line 3"]),
            ("[0,7]", &["line 1", "invalid type: sequence"]),
            (r#"{"headers":[["a","1"]]}"#, &["line 1", "headers", "invalid type: sequence"]),
            (r#"{"value":"a","value_base64":"YQ=="}"#, &["line 1", "value_base64"]),
            (r#"{"key_base64":"?"}"#, &["line 1", "key_base64", "base64"]),
            (r#"{"timestamp":"earliest"}"#, &["line 1", "timestamp", "earliest"]),
            ("{\"offset\":5}\n{\"offset\":5}", &["line 2", "offset 5"]),
            (r#"{"offset":-1}"#, &["line 1", "offset"]),
            (r#"{"partition":-1}"#, &["line 1", "partition"]),
            (r#"{"headers":[{"value":"1"}]}"#, &["line 1", "headers", "name"]),
            (
                r#"{"headers":{"a":"1","a":"2"}}"#,
                &["line 1", "headers", "`a` occurs twice", "list"],
            ),
        ];
        for (file, parts) in cases {
            let error = refused(file);
            for part in parts {
                assert!(error.contains(part), "{file}: {error}");
            }
        }
        let long = format!("{{}}\n\"{}\"", "x".repeat(LINE_BYTES_MAX));
        assert!(refused(&long).contains("line 2: longer than"));
    }

    #[test]
    fn a_written_record_is_read_as_it_was() {
        let header = |value: Option<&[u8]>| Header {
            name: "kind".into(),
            value: value.map(|value| value.to_vec().into()),
        };
        let full = Message {
            offset: 41,
            timestamp_ms: Some(1_700_000_000_123),
            key: Some(b"\xff\xfe"[..].into()),
            value: Some(br#" {"a" : 1} "#[..].into()),
            headers: vec![header(Some(b"\xff")), header(None), header(Some(b""))],
        };
        let bare =
            Message { offset: 0, timestamp_ms: None, key: None, value: None, headers: Vec::new() };
        for message in [full, bare] {
            let written = line(3, &message).unwrap();
            assert!(!written.contains('\n'));
            let read = read(written.as_bytes()).unwrap();
            assert_eq!(read, BTreeMap::from([(3, vec![FileRecord { line: 1, message }])]));
        }
    }
}
