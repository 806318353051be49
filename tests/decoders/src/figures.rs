//! A request for the counts, and Valkey's reply to the script that reads them.
//!
//! Input: a line with the path below `/api/v1/`, optionally followed by `?` and the query string;
//! then the reply: a line for each value, or `-` and the text of an error.

use figures::{Query, Snapshot};

use crate::lines;

/// Maximum number of words of the command.
const WORDS_MAX: usize = 400;

/// Maximum length of an answer without values, and for each byte of the input: JSON writes a
/// control character with six.
const BYTES_MAX: usize = 8_192;
const BYTES_PER_BYTE: usize = 16;

/// Checks an input.
pub fn check(mut bytes: &[u8]) {
    let length = bytes.len();
    let question = String::from_utf8_lossy(lines::line(&mut bytes)).into_owned();
    let (path, query) = question.split_once('?').unwrap_or((&question, ""));
    let Ok(Some(query)) = Query::parse(path, query) else { return };
    assert!(query.command("").len() <= WORDS_MAX);
    let reply = reply(&String::from_utf8_lossy(bytes));
    if query == Query::Snapshot {
        let _snapshot = Snapshot::from_reply(reply.clone());
    }
    if let Ok(json) = query.answer(reply) {
        assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "not JSON");
        assert!(json.len() <= BYTES_MAX + BYTES_PER_BYTE * length, "{} bytes", json.len());
    }
}

fn reply(text: &str) -> Result<Vec<String>, String> {
    match text.strip_prefix('-') {
        Some(error) => Err(error.to_owned()),
        None => Ok(text.split('\n').map(str::to_owned).collect()),
    }
}
