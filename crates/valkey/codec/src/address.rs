//! The address of a server, and the credentials for it.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

use crate::Error;

/// The port if the URL has none.
pub(crate) const DEFAULT_PORT: u16 = 6379;

/// A `redis://` URL with one host, parsed.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address; IPv6 addresses without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name. It is `default` if only a password is given; None without a password.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Number of the database. Default: 0.
    pub database: u32,
}

impl fmt::Debug for Address {
    /// Does not print the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/{}", self.database)
    }
}

impl fmt::Display for Address {
    /// Prints `host:port`, with an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// Parses `redis://[user:password@]host[:port][/db]`. User and password are percent-encoded.
    pub fn parse(url: &str) -> Result<Self, Error> {
        Self::with_default_port(url, DEFAULT_PORT)
    }

    /// The same with another port if the URL has none.
    pub(crate) fn with_default_port(url: &str, default_port: u16) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Address(what.into());
        let url = Url::parse(url).map_err(|e| wrong(&e.to_string()))?;
        if url.scheme() != "redis" {
            return Err(wrong("the scheme must be redis"));
        }
        // Refused instead of ignored: a user who writes `?tls=true` expects a feature that does not
        // exist.
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("`?` and `#` are not allowed; in a password, write %3F and %23"));
        }
        let host =
            url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("no host"))?;
        let path = url.path().trim_start_matches('/');
        let database = match path {
            "" => 0,
            path => path.parse().map_err(|_| wrong("the database must be a number"))?,
        };
        let decoded = |text: &str| {
            percent_decoded(text).ok_or_else(|| wrong("credentials must be percent-encoded UTF-8"))
        };
        let password = url.password().map(decoded).transpose()?;
        let user = match url.username() {
            "" => password.as_ref().map(|_| "default".to_owned()),
            _ if password.is_none() => return Err(wrong("a user needs a password")),
            user => Some(decoded(user)?),
        };
        Ok(Self {
            host: host.trim_start_matches('[').trim_end_matches(']').into(),
            port: url.port().unwrap_or(default_port),
            user,
            password,
            database,
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let address = Address::parse("redis://127.0.0.1:7000").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.database), ("127.0.0.1", 7000, 0));
        assert_eq!((address.user, address.password), (None, None));
        let address = Address::parse("redis://ana:p%40s+s@valkey/3").unwrap();
        assert_eq!((address.host.as_str(), address.port, address.database), ("valkey", 6379, 3));
        assert_eq!(address.user.as_deref(), Some("ana"));
        assert_eq!(address.password.as_deref(), Some("p@s+s"));
        for (written, meant) in [("a&b", "a&b"), ("a%26b", "a&b"), ("a=b;c", "a=b;c"), ("%2B", "+")]
        {
            let address = Address::parse(&format!("redis://u:{written}@h")).unwrap();
            assert_eq!(address.password.as_deref(), Some(meant));
        }
        let address = Address::parse("redis://:secret@[::1]:1").unwrap();
        assert_eq!((address.host.as_str(), address.user.as_deref()), ("::1", Some("default")));
        assert!(!format!("{address:?}").contains("secret"));
    }

    #[test]
    fn wrong_addresses() {
        for url in [
            "",
            "valkey:6379",
            "http://valkey",
            "redis://",
            "redis://valkey/x",
            "redis://h:99999",
            "redis://ana@h",
            "rediss://h",
            "redis://h?tls=true",
            "redis://h/1#x",
            "redis://:a#b@h",
            "redis://:a?b@h",
            "redis://:%ff@h",
        ] {
            assert!(matches!(Address::parse(url), Err(Error::Address(_))), "{url}");
        }
    }
}
