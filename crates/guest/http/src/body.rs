//! Complete bodies.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use spin_sdk::wasip3::http::types::{Fields, HeaderError};

/// A complete body.
#[derive(Debug, Clone, Default)]
pub struct FullBody {
    /// The data.
    pub data: Bytes,
    /// The trailers; empty if there are none.
    pub trailers: HeaderMap,
}

/// A response with a complete body.
pub type Answer = Response<FullBody>;

impl<T: Into<Bytes>> From<T> for FullBody {
    fn from(data: T) -> Self {
        Self { data: data.into(), trailers: HeaderMap::new() }
    }
}

/// Headers or trailers as the host's type.
pub(crate) fn to_fields(headers: &HeaderMap) -> Result<Fields, HeaderError> {
    let entries: Vec<_> = headers
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    Fields::from_list(&entries)
}

/// Those headers or trailers that the components use. Invalid names and values are left out.
pub(crate) fn from_fields(fields: &Fields, needed: &[HeaderName]) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(needed.len());
    for (name, value) in fields.copy_all() {
        let known = needed.iter().find(|known| known.as_str().eq_ignore_ascii_case(&name));
        if let (Some(name), Ok(value)) = (known, HeaderValue::from_maybe_shared(Bytes::from(value)))
        {
            headers.append(name, value);
        }
    }
    headers
}

/// All headers. Invalid names and values are left out.
pub(crate) fn all_fields(fields: &Fields) -> HeaderMap {
    let valid = |(name, value): (String, Vec<u8>)| {
        let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_maybe_shared(Bytes::from(value)).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in fields.copy_all().into_iter().filter_map(valid) {
        headers.append(name, value);
    }
    headers
}
