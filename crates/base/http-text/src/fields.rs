//! Header fields in one piece, as the interface `doorbuster:http` passes them: for each field its
//! name in lower case, a colon, a space, its value and CR LF.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// The most bytes of header and trailer fields of a message.
pub const FIELDS_BYTES_MAX: usize = 128 << 10;

const LINE_END: &[u8] = b"\r\n";

/// The fields whose names `keep` selects, as lines.
pub fn to_lines(fields: &HeaderMap, keep: impl Fn(&HeaderName) -> bool) -> Vec<u8> {
    let kept = || fields.iter().filter(|(name, _)| keep(name));
    let lengths = kept().map(|(name, value)| name.as_str().len() + value.len() + 4);
    let mut lines = Vec::with_capacity(lengths.sum());
    for (name, value) in kept() {
        lines.extend_from_slice(name.as_str().as_bytes());
        lines.extend_from_slice(b": ");
        lines.extend_from_slice(value.as_bytes());
        lines.extend_from_slice(LINE_END);
    }
    lines
}

/// All fields. `None` if a line is not a field.
pub fn from_lines(lines: &Bytes) -> Option<HeaderMap> {
    let mut fields = HeaderMap::new();
    for line in Lines(lines) {
        let (name, value) = line?;
        fields.try_append(HeaderName::from_lowercase(name).ok()?, checked(lines, value)?).ok()?;
    }
    Some(fields)
}

/// The fields with these names. Lines that are not fields are left out.
pub fn find(lines: &Bytes, names: &[HeaderName]) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(names.len());
    for (name, value) in Lines(lines).flatten() {
        let known = names.iter().find(|known| known.as_str().as_bytes() == name);
        if let (Some(known), Some(value)) = (known, checked(lines, value)) {
            fields.append(known, value);
        }
    }
    fields
}

/// The value, which is a part of `lines`, if a field may contain it.
fn checked(lines: &Bytes, value: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(lines.slice_ref(value)).ok()
}

/// The name and the value of each line; `None` for one that is not a field.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Option<(&'a [u8], &'a [u8])>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let end = memchr::memmem::find(self.0, LINE_END).unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        let complete = rest.strip_prefix(LINE_END);
        self.0 = complete.unwrap_or_default();
        let colon = complete.and_then(|_| memchr::memchr(b':', line));
        Some(colon.and_then(|colon| {
            let (name, value) = line.split_at(colon);
            Some((name, trim(value.strip_prefix(b":")?)))
        }))
    }
}

/// Without the white space around the value of a field.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_their_order_and_their_bytes() {
        let lines = Bytes::from_static(b"a: 1\r\nb:\r\na: \xff x:y \t\r\n");
        let fields = from_lines(&lines).unwrap();
        let values: Vec<_> = fields.get_all("a").iter().map(HeaderValue::as_bytes).collect();
        assert_eq!(values, [&b"1"[..], b"\xff x:y"]);
        assert_eq!(fields["b"], "");
        assert_eq!(to_lines(&fields, |name| name != "a"), b"b: \r\n");
        assert_eq!(from_lines(&to_lines(&fields, |_| true).into()), Some(fields));
        assert_eq!(from_lines(&Bytes::new()), Some(HeaderMap::new()));
    }

    #[test]
    fn lines_that_are_not_fields_are_refused() {
        let lines = [
            "a: 1",
            "a: 1\n",
            "a\r\n",
            "A: 1\r\n",
            ": 1\r\n",
            "a b: 1\r\n",
            "a: 1\nb: 2\r\n",
            "\r\n",
        ];
        for text in lines {
            assert_eq!(from_lines(&text.into()), None, "{text:?}");
            assert_eq!(find(&text.into(), &[HeaderName::from_static("a")]).len(), 0, "{text:?}");
        }
        for value in ["\0", "\r", "\n"] {
            for text in [format!("a: {value}x\r\n"), format!("a: {value}\r\n")] {
                assert_eq!(from_lines(&text.clone().into()), None, "{text:?}");
            }
        }
    }

    #[test]
    fn only_the_fields_with_the_names_are_found() {
        let lines = Bytes::from_static(b"a: 1\r\nno field\r\nb: 2\r\nc: 3\r\nb: 4\r\n");
        let found = find(&lines, &[HeaderName::from_static("b"), HeaderName::from_static("x")]);
        let values: Vec<_> = found.iter().map(|(name, value)| (name.as_str(), value)).collect();
        assert_eq!(values, [("b", &HeaderValue::from_static("2")), ("b", &"4".parse().unwrap())]);
    }
}
