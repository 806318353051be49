//! The servers that requests are sent to.

use component_settings::{SettingError, list};
use http::Uri;
use http::uri::{Authority, Scheme};
use http_text::decode_path;

/// Maximum number of upstreams.
const UPSTREAMS_MAX: usize = 64;

/// A server that requests are sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// `http` or `https`.
    pub scheme: Scheme,
    /// `host[:port]`.
    pub authority: Authority,
    /// The path that is put before those of the requests, without a slash at its end.
    base: String,
}

impl Upstream {
    /// Reads `balance_upstreams`.
    pub(super) fn parse_list(text: &str) -> Result<Vec<Self>, SettingError> {
        let error = |reason: String| SettingError::new("balance_upstreams", reason);
        let upstreams = list(text).map(|url| {
            Self::parse(url).ok_or_else(|| {
                // A user name may come with a password.
                error("must contain only URLs such as `http://HOST:PORT/PATH`".into())
            })
        });
        let upstreams = upstreams.collect::<Result<Vec<_>, _>>()?;
        if upstreams.is_empty() || upstreams.len() > UPSTREAMS_MAX {
            return Err(error(format!("must contain 1 to {UPSTREAMS_MAX} URLs")));
        }
        let repeated =
            |(index, one): (usize, &Self)| upstreams.iter().take(index).any(|u| u == one);
        if upstreams.iter().enumerate().any(repeated) {
            return Err(error("must not contain a URL twice".into()));
        }
        Ok(upstreams)
    }

    fn parse(url: &str) -> Option<Self> {
        let parts = url.parse::<Uri>().ok()?.into_parts();
        let (scheme, authority) = (parts.scheme?, parts.authority?);
        let path = parts.path_and_query?;
        let is_plain = [Scheme::HTTP, Scheme::HTTPS].contains(&scheme)
            && !authority.as_str().contains('@')
            && path.query().is_none()
            && !url.contains('#');
        let base = path.path().trim_end_matches('/').to_owned();
        is_plain.then_some(Self { scheme, authority, base })
    }

    /// The path and the query of a request at this server. `None` if the path could leave the base:
    /// some servers read `/%2e%2e/` as `/../`.
    pub fn target(&self, path_with_query: &str) -> Option<String> {
        // `OPTIONS *` is about the server; `wasi:http` cannot express it.
        let path_with_query = if path_with_query == "*" { "/" } else { path_with_query };
        let path = path_with_query.split('?').next().unwrap_or_default();
        let stays = self.base.is_empty() || decode_path(path).is_some();
        stays.then(|| format!("{}{path_with_query}", self.base))
    }
}

impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}{}", self.scheme, self.authority, self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let list = "http://a:8080, https://b.example/v1/\nhttp://service.spin.internal";
        let upstreams = Upstream::parse_list(list).unwrap();
        let texts: Vec<_> = upstreams.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            ["http://a:8080", "https://b.example/v1", "http://service.spin.internal"]
        );
        let many = (0..=UPSTREAMS_MAX).map(|n| format!("http://h{n} ")).collect::<String>();
        for wrong in [
            "",
            "a:8080",
            "ftp://a",
            "http://u:p@a",
            "http://a?x",
            "http://a#x",
            "http://",
            "http://a,http://a/",
            &many,
        ] {
            let error = Upstream::parse_list(wrong).unwrap_err();
            assert!(!error.to_string().contains("u:p"), "{error}");
        }
    }

    #[test]
    fn no_path_leaves_the_base() {
        let [plain, v1] = ["http://a", "http://a/v1"].map(|url| Upstream::parse(url).unwrap());
        for (path, at_plain, at_v1) in [
            ("/x?y=../z", "/x?y=../z", Some("/v1/x?y=../z")),
            ("/", "/", Some("/v1/")),
            ("*", "/", Some("/v1/")),
            ("/../admin", "/../admin", None),
            ("/%2e%2e/admin", "/%2e%2e/admin", None),
            ("/..%2fadmin", "/..%2fadmin", None),
            ("/..%5cadmin?x", "/..%5cadmin?x", None),
        ] {
            assert_eq!(plain.target(path).as_deref(), Some(at_plain));
            assert_eq!(v1.target(path).as_deref(), at_v1, "{path}");
        }
    }
}
