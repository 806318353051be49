//! Which requests share a bucket.

use std::net::{IpAddr, SocketAddr};

use component_settings::SettingError;
use http::{HeaderMap, HeaderName};

/// The header in which the host passes on the address of the client. Spin adds it to the headers of
/// the request, so a client can send values before it.
const CLIENT_ADDR: &str = "spin-client-addr";

/// Maximum length of the value of a header that is a key. Longer ones share a bucket.
const VALUE_BYTES_MAX: usize = 256;

/// What the requests of a bucket have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Nothing: there is one bucket.
    All,
    /// The address of the client.
    Address,
    /// The value of a header; the address if the header is missing.
    Header(HeaderName),
}

impl Key {
    /// Reads `rate_limit_key`: `address`, `all`, or `header:NAME`; the address if it is not set.
    pub fn parse(text: &str) -> Result<Self, SettingError> {
        match text {
            "" | "address" => Ok(Self::Address),
            "all" => Ok(Self::All),
            name => match name.strip_prefix("header:").map(|name| name.trim().parse()) {
                Some(Ok(name)) => Ok(Self::Header(name)),
                _ => {
                    let reason = "must be `address`, `all` or `header:NAME`";
                    Err(SettingError::new("rate_limit_key", reason))
                }
            },
        }
    }

    /// The key of a request.
    pub fn of(&self, headers: &HeaderMap) -> String {
        match self {
            Self::All => String::new(),
            Self::Address => address(headers),
            Self::Header(name) => {
                let mut values = headers.get_all(name).iter();
                match (values.next(), values.next()) {
                    (None, _) => address(headers),
                    (Some(value), None) if value.len() <= VALUE_BYTES_MAX => {
                        format!("value {}", String::from_utf8_lossy(value.as_bytes()))
                    }
                    _ => "unusual".into(),
                }
            }
        }
    }
}

/// The address of the client. A network of IPv6 with 64 bits is one client.
fn address(headers: &HeaderMap) -> String {
    let last = headers.get_all(CLIENT_ADDR).iter().next_back();
    let text = last.and_then(|value| value.to_str().ok()).unwrap_or_default();
    match text.parse().map(|address: SocketAddr| address.ip().to_canonical()) {
        Ok(IpAddr::V4(address)) => format!("address {address}"),
        Ok(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            format!("network {a:x}:{b:x}:{c:x}:{d:x}")
        }
        Err(_) => "unknown address".into(),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn requests_of_one_client_have_one_key() {
        let headers = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_str(value).unwrap());
            }
            headers
        };
        let address = |text: &str| Key::Address.of(&headers(&[("spin-client-addr", text)]));
        assert_eq!(address("192.0.2.1:1"), address("192.0.2.1:2"));
        assert_eq!(address("192.0.2.1:1"), address("[::ffff:192.0.2.1]:2"));
        assert_ne!(address("192.0.2.1:1"), address("192.0.2.2:1"));
        assert_eq!(address("[2001:db8::1]:1"), address("[2001:db8::ffff]:1"));
        assert_ne!(address("[2001:db8::1]:1"), address("[2001:db8:0:1::1]:1"));
        assert_eq!(address("x"), Key::Address.of(&HeaderMap::new()));
        let forged = [("spin-client-addr", "192.0.2.9:1"), ("spin-client-addr", "192.0.2.1:1")];
        assert_eq!(Key::Address.of(&headers(&forged)), address("192.0.2.1:1"));
        let key = Key::parse("header:X-Token-Subject").unwrap();
        let of = |fields: &[(&'static str, &str)]| key.of(&headers(fields));
        assert_ne!(of(&[("x-token-subject", "a")]), of(&[("x-token-subject", "b")]));
        assert_eq!(of(&[("spin-client-addr", "192.0.2.1:1")]), address("192.0.2.1:1"));
        // Neither two values nor a long one are a way to a bucket of one's own.
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        let two = [("x-token-subject", "a"), ("x-token-subject", "c")];
        assert_eq!(of(&two), of(&[("x-token-subject", &long)]));
        assert_eq!(Key::parse("all").unwrap().of(&headers(&two)), "");
        assert!(Key::parse("x-a").is_err() && Key::parse("header:").is_err());
    }
}
