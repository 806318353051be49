//! Splits an input into the parts that a check needs.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// Removes and returns the bytes up to the end of the line.
pub fn line<'a>(bytes: &mut &'a [u8]) -> &'a [u8] {
    let end = bytes.iter().position(|byte| *byte == b'\n');
    let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    *bytes = rest.get(1..).unwrap_or_default();
    line
}

/// Removes and returns the lines up to an empty one, which is removed, too.
pub fn block<'a>(bytes: &mut &'a [u8]) -> Vec<&'a [u8]> {
    let mut lines = Vec::new();
    while !bytes.is_empty() {
        match line(bytes) {
            [] => break,
            line => lines.push(line),
        }
    }
    lines
}

/// Removes and returns the next byte; 0 if there is none.
pub fn byte(bytes: &mut &[u8]) -> u8 {
    let Some((first, rest)) = bytes.split_first() else { return 0 };
    *bytes = rest;
    *first
}

/// The method and the headers in the lines of a head. What is not valid is left out.
pub fn head(lines: &[&[u8]]) -> (Method, HeaderMap) {
    let method = lines.first().and_then(|method| Method::from_bytes(method).ok());
    let method = method.unwrap_or(Method::POST);
    let mut headers = HeaderMap::new();
    for field in lines.iter().skip(1) {
        let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
        let (name, value) = field.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    (method, headers)
}
