//! Header fields as `doorbuster:http` passes them.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers or trailers as field lines.
pub(crate) fn to_lines(headers: &HeaderMap) -> Vec<u8> {
    let length = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    let mut lines = Vec::with_capacity(headers.iter().map(length).sum());
    for (name, value) in headers {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(b"\r\n");
    }
    lines
}

/// Those fields that the components use. Lines that are not fields are left out.
pub(crate) fn from_lines(lines: Vec<u8>, needed: &[HeaderName]) -> HeaderMap {
    let lines = Bytes::from(lines);
    let mut headers = HeaderMap::with_capacity(needed.len());
    for line in lines.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let known = needed.iter().find(|known| known.as_str().as_bytes() == name);
        if let Some(name) = known
            && let Ok(value) = HeaderValue::from_maybe_shared(lines.slice_ref(value))
        {
            headers.append(name, value);
        }
    }
    headers
}
