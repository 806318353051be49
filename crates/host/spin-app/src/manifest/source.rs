//! Reads where a component is: in a file, at a URL, or in the same application.

use std::path::PathBuf;

use toml::Value;
use url::Url;

use super::reader::Reader;
use super::schema;
use crate::app::Source;

/// The keys of a package of a registry.
pub(super) const IN_REGISTRY: [&str; 3] = ["registry", "package", "version"];

/// How a digest begins.
const SHA256: &str = "sha256:";

/// The number of digits after that.
const DIGITS: usize = 64;

/// A dependency or a middleware.
pub(super) enum Part {
    /// A file, or a component at a URL.
    Source(Source),
    /// The id of a component of the application.
    Component(String),
}

/// The `source` of a component.
pub(super) fn read(reader: &Reader<'_>, raw: Value) -> Result<Source, String> {
    match raw {
        Value::String(path) => Ok(reader.file(path.as_ref())),
        Value::Table(table) if IN_REGISTRY.iter().any(|key| table.contains_key(*key)) => {
            Err("a package of a registry is not supported by this host as a `source`; write the \
                 path of a file, or { url = \"…\", digest = \"sha256:…\" }"
                .into())
        }
        Value::Table(table) if table.contains_key("url") => {
            let raw: schema::Remote =
                table.try_into().map_err(|e| format!("`source`: {}", e.message()))?;
            remote(&raw.url, raw.digest).map_err(|message| format!("`source`: {message}"))
        }
        _ => Err("`source` must be the path of a file, or { url = \"…\", digest = \"…\" }".into()),
    }
}

/// A dependency or a middleware with these keys.
pub(super) fn part(
    reader: &Reader<'_>,
    path: Option<PathBuf>,
    component: Option<String>,
    url: Option<String>,
    digest: Option<String>,
) -> Result<Part, String> {
    match (path, component, url, digest) {
        (Some(path), None, None, None) => Ok(Part::Source(reader.file(&path))),
        (None, Some(id), None, None) => Ok(Part::Component(id)),
        (None, None, Some(url), digest) => remote(&url, digest).map(Part::Source),
        _ => Err("give one of `path`, `component`, and `url` with `digest`".into()),
    }
}

fn remote(url: &str, digest: Option<String>) -> Result<Source, String> {
    let digest = digest.ok_or("`digest` is missing: a component at a `url` needs one")?;
    let digits = digest.strip_prefix(SHA256).unwrap_or_default();
    let is_digit = |digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != DIGITS || !digits.bytes().all(is_digit) {
        return Err(format!(
            "`digest` must be `{SHA256}` and {DIGITS} hexadecimal digits, in lower case"
        ));
    }
    match Url::parse(url) {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(Source::remote(&url, digest)),
        _ => Err(format!("`{url}` is not a URL that begins with `http://` or `https://`")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// The text of the source, or the error.
    fn text(raw: &str) -> Result<String, String> {
        let raw: toml::Table = toml::from_str(&format!("source = {raw}")).unwrap();
        let reader = Reader::new(Path::new("/app/spin.toml"), "");
        read(&reader, raw["source"].clone()).map(|source| source.to_string())
    }

    #[test]
    fn a_component_at_a_url_needs_a_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let source = |url: &str, digest: &str| text(&format!("{{ url = {url:?}, {digest} }}"));
        let valid = format!("digest = {digest:?}");
        assert_eq!(source("https://a/b.wasm", &valid), Ok("https://a/b.wasm".into()));
        assert_eq!(text("\"b.wasm\""), Ok("/app/b.wasm".into()));
        for (url, digest, expected) in [
            ("https://a", "", "`digest` is missing"),
            ("https://a", "digest = \"sha256:0a\"", "64 hexadecimal digits"),
            ("https://a", &valid.to_uppercase().replace("DIGEST", "digest"), "in lower case"),
            ("https://a", &valid.replace("256", "512"), "`sha256:`"),
            ("file:///etc/passwd", &valid, "`http://` or"),
            ("a/b.wasm", &valid, "`a/b.wasm` is not"),
            ("https://a", &format!("{valid}, version = \"1\""), "registry"),
        ] {
            let error = source(url, digest).unwrap_err();
            assert!(error.contains(expected), "{url} {digest}: {error}");
        }
    }

    #[test]
    fn what_is_at_a_url_is_read_only_after_it_was_downloaded() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        let mut source = remote("https://a/b.wasm", Some(digest.clone())).unwrap();
        let (url, expected) = source.download().unwrap();
        assert_eq!((url.as_str(), expected), ("https://a/b.wasm", digest.as_str()));
        assert!(source.read().unwrap_err().contains("not downloaded"));
        source.set_content("content".into());
        assert_eq!((source.read().unwrap().as_ref(), source.download()), (&b"content"[..], None));
    }
}
