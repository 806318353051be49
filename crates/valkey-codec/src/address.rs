//! Where a server is, and as whom to speak to it.

use std::fmt;

use url::Url;

use crate::Error;

/// Valkey's port when the URL names none.
const DEFAULT_PORT: u16 = 6379;

/// What a `redis://` URL with one host says.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User; `default` if only a password is given, none without a password.
    pub user: Option<String>,
    /// Password.
    pub password: Option<String>,
    /// Number of the database; 0 if none is named.
    pub database: u32,
}

impl fmt::Debug for Address {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/{}", self.database)
    }
}

impl fmt::Display for Address {
    /// `host:port`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// Reads `redis://[user:password@]host[:port][/db]`; user and password percent-encoded.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Address(what.into());
        let url = Url::parse(url).map_err(|e| wrong(&e.to_string()))?;
        if url.scheme() != "redis" {
            return Err(wrong("only the scheme redis is supported"));
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
            port: url.port().unwrap_or(DEFAULT_PORT),
            user,
            password,
            database,
        })
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    // A URL's query decodes percent signs; a plus stands for a space there, so it is kept.
    let query = format!("v={}", text.replace('+', "%2B"));
    let (_, value) = url::form_urlencoded::parse(query.as_bytes()).next()?;
    (!value.contains('\u{fffd}')).then(|| value.into_owned())
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
        ] {
            assert!(matches!(Address::parse(url), Err(Error::Address(_))), "{url}");
        }
    }
}
