//! Header fields in one piece, as `doorbuster:http` passes them.
//!
//! Input: the lines.

use bytes::Bytes;
use http::HeaderName;
use http_text::{find, from_lines, to_lines};

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let lines = Bytes::copy_from_slice(bytes);
    let names = [HeaderName::from_static("a"), HeaderName::from_static("traceparent")];
    let found = find(&lines, &names);
    let Some(fields) = from_lines(&lines) else { return };
    assert_eq!(
        from_lines(&to_lines(&fields, |_| true).into()).as_ref(),
        Some(&fields),
        "not the same"
    );
    for name in &names {
        assert!(fields.get_all(name).iter().eq(found.get_all(name)), "{name}");
    }
}
