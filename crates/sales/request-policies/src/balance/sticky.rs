//! Which part of a request decides about its upstream.

use component_settings::SettingError;
use http::{HeaderMap, HeaderName, header};

/// Where the key of a request is. Requests with the same key are sent to the same upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sticky {
    /// In a header.
    Header(HeaderName),
    /// In a cookie.
    Cookie(String),
}

impl Sticky {
    /// Reads `balance_sticky`.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, SettingError> {
        if text.is_empty() {
            return Ok(None);
        }
        let error =
            || SettingError::new("balance_sticky", "must be `header:NAME` or `cookie:NAME`");
        let (place, name) = text.split_once(':').ok_or_else(error)?;
        // Names of cookies are tokens, as those of headers.
        let header: HeaderName = name.trim().parse().map_err(|_| error())?;
        match place {
            "header" => Ok(Some(Self::Header(header))),
            "cookie" => Ok(Some(Self::Cookie(name.trim().to_owned()))),
            _ => Err(error()),
        }
    }

    /// The key of a request; `None` if it has none, or an empty one.
    pub fn key<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let key = match self {
            Self::Header(name) => headers.get(name)?.as_bytes(),
            Self::Cookie(name) => {
                let values = headers.get_all(header::COOKIE).iter();
                let mut pairs =
                    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
                pairs.find_map(|pair| {
                    pair.trim_ascii().strip_prefix(name.as_bytes())?.strip_prefix(b"=")
                })?
            }
        };
        (!key.is_empty()).then_some(key)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn keys_are_found() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", HeaderValue::from_static("ada"));
        headers.append("cookie", HeaderValue::from_static("a=1; session2=x;session=y"));
        headers.append("cookie", HeaderValue::from_static("last=z; empty="));
        let key = |text| {
            let key = Sticky::parse(text).unwrap().unwrap().key(&headers);
            key.map(|key| String::from_utf8_lossy(key).into_owned())
        };
        assert_eq!(key("header:X-User").as_deref(), Some("ada"));
        assert_eq!(key("header: x-other"), None);
        assert_eq!(key("cookie:session").as_deref(), Some("y"));
        assert_eq!(key("cookie:last").as_deref(), Some("z"));
        assert_eq!((key("cookie:empty"), key("cookie:sess")), (None, None));
        assert_eq!(Sticky::parse("").unwrap(), None);
        assert!(Sticky::parse("cookie:").is_err() && Sticky::parse("query:a").is_err());
    }
}
