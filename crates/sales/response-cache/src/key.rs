//! Which stored responses belong to a request.

use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

/// Maximum length of a key.
pub const KEY_BYTES_MAX: usize = 4_096;

/// Request headers that components often use to create links or to choose a path, without naming them
/// in `Vary`. A stored response is for requests with the same values, so that a client cannot change
/// the response that others get.
///
/// Spin adds the `spin-` ones itself, after those of the client, and applications use the first value.
static ALWAYS_SELECTING: [HeaderName; 20] = [
    http::header::FORWARDED,
    http::header::ORIGIN,
    HeaderName::from_static("front-end-https"),
    HeaderName::from_static("spin-base-path"),
    HeaderName::from_static("spin-component-route"),
    HeaderName::from_static("spin-full-url"),
    HeaderName::from_static("spin-matched-route"),
    HeaderName::from_static("spin-path-info"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-forwarded-ssl"),
    HeaderName::from_static("x-host"),
    HeaderName::from_static("x-original-host"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
    HeaderName::from_static("x-url-scheme"),
];

/// The target of a request: `scheme://host/path?query`. The host is in lower case and without the
/// default port; path and query are as the client wrote them, because components may distinguish
/// what a normal form would combine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(String);

impl Key {
    /// The key of a target; `None` if it is too long to be stored.
    pub fn new(scheme: &str, authority: &str, path_and_query: &str) -> Option<Self> {
        let scheme = scheme.to_ascii_lowercase();
        let authority = authority.to_ascii_lowercase();
        let port = if scheme == "https" { ":443" } else { ":80" };
        let host = authority.strip_suffix(port).unwrap_or(&authority);
        let key = format!("{scheme}://{host}{path_and_query}");
        (key.len() <= KEY_BYTES_MAX).then_some(Self(key))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Another path on the same host.
    pub fn with_path(&self, path_and_query: &str) -> Option<Self> {
        let start = self.0.find("://")? + 3;
        let path = self.0.get(start..)?.find('/')? + start;
        let key = format!("{}{path_and_query}", self.0.get(..path)?);
        (key.len() <= KEY_BYTES_MAX).then_some(Self(key))
    }
}

/// A digest of the values of the headers that select a response. The values themselves, which may be
/// secrets, are not stored.
pub type Variant = [u8; 32];

/// The variant that these headers of a request select, given the names in `Vary` of the response and
/// those of the configuration. It also depends on these names, so that instances with different
/// configurations do not use each other's responses.
pub fn variant(headers: &HeaderMap, vary: &[HeaderName], configured: &[HeaderName]) -> Variant {
    let mut names: Vec<_> = ALWAYS_SELECTING.iter().chain(vary).chain(configured).collect();
    names.sort_unstable_by_key(|name| name.as_str());
    names.dedup();
    let mut digest = Sha256::new();
    for name in &names {
        add(&mut digest, headers, name);
    }
    let is_like_one = |name: &&HeaderName| {
        name.as_str().contains('_') && names.iter().any(|other| is_like(name, other))
    };
    let mut others: Vec<_> = headers.keys().filter(is_like_one).collect();
    others.sort_unstable_by_key(|name| name.as_str());
    for name in others {
        add(&mut digest, headers, name);
    }
    digest.finalize().into()
}

/// Adds the name and the values of a header.
fn add(digest: &mut Sha256, headers: &HeaderMap, name: &HeaderName) {
    let values: Vec<_> = headers.get_all(name).iter().map(normal).collect();
    digest.update(name.as_str());
    if !values.is_empty() {
        // A name does not contain a colon, and neither a name nor a value a line feed.
        digest.update(b":");
        digest.update(values.join(&b", "[..]));
    }
    digest.update(b"\n");
}

/// Whether components may take one name for the other: many servers write both `-` and `_` as `_`.
pub fn is_like(a: &HeaderName, b: &HeaderName) -> bool {
    let (a, b) = (a.as_str().as_bytes(), b.as_str().as_bytes());
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { *byte };
    a.len() == b.len() && a.iter().map(plain).eq(b.iter().map(plain))
}

/// A value without white space around commas, which has no meaning in lists. It may have one in quoted
/// strings.
fn normal(value: &HeaderValue) -> Vec<u8> {
    if value.as_bytes().contains(&b'"') {
        return value.as_bytes().to_vec();
    }
    let parts = value.as_bytes().split(|byte| *byte == b',');
    parts.map(<[u8]>::trim_ascii).collect::<Vec<_>>().join(&b", "[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_the_same_only_if_no_component_can_distinguish_them() {
        let key = |scheme, host, path| Key::new(scheme, host, path).unwrap();
        let one = key("http", "shop.example", "/a?b=1");
        assert_eq!(one.as_str(), "http://shop.example/a?b=1");
        assert_eq!(one, key("HTTP", "Shop.Example:80", "/a?b=1"));
        for other in [
            key("https", "shop.example", "/a?b=1"),
            key("http", "shop.example:443", "/a?b=1"),
            key("http", "shop.example:8080", "/a?b=1"),
            key("http", "shop.example.", "/a?b=1"),
            key("http", "shop.example", "/A?b=1"),
            key("http", "shop.example", "/a?b=1&"),
            key("http", "shop.example", "/%61?b=1"),
            key("http", "shop.example", "/a"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one.with_path("/c").unwrap().as_str(), "http://shop.example/c");
        assert_eq!(Key::new("http", "a", &"/".repeat(KEY_BYTES_MAX)), None);
    }

    #[test]
    fn a_variant_depends_on_the_selecting_headers_only() {
        let tenant = [HeaderName::from_static("x-tenant")];
        let configured = |fields: &[(&'static str, &str)], vary: &[HeaderName], names: &[_]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            variant(&headers, vary, names)
        };
        let of = |fields: &[(&'static str, &str)], vary: &[HeaderName]| {
            configured(fields, vary, &tenant)
        };
        let language = [http::header::ACCEPT_LANGUAGE];
        let de = of(&[("accept-language", "de,en;q=0.5")], &language);
        for (fields, vary, is_same) in [
            (&[("accept-language", "de , en;q=0.5")][..], &language[..], true),
            (&[("accept-language", "de"), ("accept-language", "en;q=0.5")], &language, true),
            (&[("accept-language", "de,en;q=0.5"), ("x-other", "1")], &language, true),
            (&[("accept-language", "en;q=0.5,de")], &language, false),
            (&[("accept-language", "de,en;q=0.5"), ("x-tenant", "1")], &language, false),
            (&[("accept-language", "de,en;q=0.5"), ("x-forwarded-host", "x")], &language, false),
            (&[("accept-language", "de,en;q=0.5"), ("origin", "http://x")], &language, false),
            (
                &[("accept-language", "de,en;q=0.5"), ("spin-full-url", "http://x")],
                &language,
                false,
            ),
            (&[("accept-language", "de,en;q=0.5"), ("x_forwarded_host", "x")], &language, false),
            (&[("accept-language", "de,en;q=0.5"), ("x_tenant", "1")], &language, false),
            (&[("accept-language", "de,en;q=0.5"), ("x_other", "1")], &language, true),
            (&[], &language, false),
        ] {
            assert_eq!(of(fields, vary) == de, is_same, "{fields:?}");
        }
        // An empty value is not the same as none.
        assert_ne!(of(&[("accept-language", "")], &language), of(&[], &language));
        assert_eq!(of(&[("accept-language", "de")], &[]), of(&[], &[]));
        // A component may distinguish the two names.
        assert_ne!(of(&[("x_tenant", "1")], &[]), of(&[("x-tenant", "1")], &[]));
        // A response that was stored without regard to `X-Tenant`.
        assert_ne!(configured(&[], &[], &[]), of(&[], &[]));
    }
}
