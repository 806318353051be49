//! The filters on a field of a record's JSON.
//!
//! Input: a line with a JSON pointer, a line with the text to compare with, and the record's value.

use serde_json::Value;
use spin_kafka_trigger::{Field, Filter, Message, passes};

use crate::lines;

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let (pointer, text) = (lines::line(&mut bytes), lines::line(&mut bytes));
    let (Ok(pointer), Ok(text)) = (std::str::from_utf8(pointer), std::str::from_utf8(text)) else {
        return;
    };
    let Ok(field) = Field::try_from(format!("json:{pointer}")) else { return };
    let equals = Filter::equals(field.clone(), text);
    let prefix = Filter::prefix(field, text);
    let record = record(bytes);
    let (equals, prefix) = (passes(&[equals], &record), passes(&[prefix], &record));
    // Some values, such as large numbers, are rejected by `serde_json`, so there is nothing to
    // compare with.
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let (expected_equals, expected_prefix) = match value.pointer(pointer) {
        Some(Value::String(found)) => (found == text, found.starts_with(text)),
        Some(Value::Bool(found)) => (found.to_string() == text, false),
        Some(Value::Null) => (text == "null", false),
        // Numbers are compared as they are written in the record, which `Value` does not contain.
        Some(Value::Number(_)) => (equals, false),
        Some(Value::Array(_) | Value::Object(_)) | None => (false, false),
    };
    assert_eq!((equals, prefix), (expected_equals, expected_prefix), "{pointer} {text} {value}");
}

fn record(value: &[u8]) -> Message {
    let value = Some(value.to_vec().into());
    Message { offset: 0, timestamp_ms: None, key: None, value, headers: Vec::new() }
}
