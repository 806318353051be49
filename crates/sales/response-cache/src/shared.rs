//! Stored responses in Valkey, which all instances share. A target is a hash: `version` is the last
//! invalidation, `vary` the lists of names that select its responses, and each response is a field,
//! whose name has the list of names and the variant.

use std::fmt::Write as _;

use bytes::{Buf as _, Bytes};
use http::{HeaderName, StatusCode};
use http_text::{from_lines, to_lines};
use sha2::{Digest as _, Sha256};
use valkey_command::Script;

use crate::key::{Key, Variant};
use crate::lookup::Lookup;
use crate::memory::VARIANTS_MAX;
use crate::settings::{Config, Rules};
use crate::stored::Stored;

/// Stores a response, unless its target was invalidated. Its arguments are those of [`to_store`].
pub static STORE: Script = Script::new(include_str!("store.lua"));

/// Removes the responses for a target.
pub static INVALIDATE: Script = Script::new(include_str!("invalidate.lua"));

/// For how long Valkey keeps a response: at most a week.
const KEEP_MS_MAX: u64 = 7 * 86_400_000;

/// The format of values, their first byte.
const FORMAT: u8 = 1;

/// A later time or a greater age is not valid.
const TIME_MS_MAX: u64 = 1 << 48;

/// The bytes before the headers: the format, the status, the time, the age, and the length of the
/// headers.
const HEAD_BYTES: usize = 1 + 2 + 8 + 8 + 4;

/// The name of the key of a target.
pub fn key_name(config: &Config, key: &Key) -> Vec<u8> {
    format!("{}{}", config.valkey_prefix, hex(&Sha256::digest(key.as_str()))).into_bytes()
}

/// The name of the field for the response that a request selects, among those with this `Vary`.
pub fn field(lookup: &Lookup, vary: &[HeaderName], rules: &Rules) -> String {
    field_name(vary, &lookup.variant(vary, rules))
}

fn field_name(vary: &[HeaderName], variant: &Variant) -> String {
    let names: Vec<_> = vary.iter().map(HeaderName::as_str).collect();
    format!("r:{}|{}", names.join(","), hex(variant))
}

/// The lists of names in the field `vary`. Those that are not valid are left out.
pub fn lists(text: &[u8]) -> Vec<Vec<HeaderName>> {
    let list = |line: &str| -> Option<Vec<HeaderName>> {
        line.split(',').filter(|name| !name.is_empty()).map(|name| name.parse().ok()).collect()
    };
    let text = String::from_utf8_lossy(text);
    text.split('\n').take(VARIANTS_MAX).filter_map(list).collect()
}

/// The arguments of [`STORE`].
pub fn to_store(stored: &Stored, version: u64, now_ms: u64) -> [Vec<u8>; 5] {
    let keep_ms = stored.keep_ms(now_ms).clamp(1, KEEP_MS_MAX);
    [
        version.to_string().into_bytes(),
        field_name(&stored.vary, &stored.variant).into_bytes(),
        encode(stored),
        keep_ms.to_string().into_bytes(),
        VARIANTS_MAX.to_string().into_bytes(),
    ]
}

/// The name of the field with this response.
pub fn field_of(stored: &Stored) -> String {
    field_name(&stored.vary, &stored.variant)
}

fn encode(stored: &Stored) -> Vec<u8> {
    let lines = to_lines(&stored.headers, |_| true);
    let mut value = Vec::with_capacity(HEAD_BYTES + lines.len() + stored.body.len());
    value.push(FORMAT);
    value.extend(stored.status.as_u16().to_be_bytes());
    value.extend(stored.received_ms.to_be_bytes());
    value.extend(stored.initial_age_ms.to_be_bytes());
    // The headers of a message have at most 128 KiB.
    value.extend(u32::try_from(lines.len()).unwrap_or(u32::MAX).to_be_bytes());
    value.extend(lines);
    value.extend(&stored.body);
    value
}

/// The response in a field; `None` if it is not valid.
pub fn decode(value: Vec<u8>, lookup: &Lookup, rules: &Rules) -> Option<Stored> {
    let mut value = Bytes::from(value);
    if value.len() < HEAD_BYTES || value.get_u8() != FORMAT {
        return None;
    }
    let status = StatusCode::from_u16(value.get_u16()).ok()?;
    let times = (value.get_u64(), value.get_u64());
    let length = usize::try_from(value.get_u32()).ok()?;
    if times.0.max(times.1) > TIME_MS_MAX || length > value.len() {
        return None;
    }
    let headers = from_lines(&value.split_to(length))?;
    Stored::restored(status, headers, value, times, lookup, rules)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
