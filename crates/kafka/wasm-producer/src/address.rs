//! The address of a broker.

use std::fmt;

/// A broker's host and port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Host name or IP address, without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Address {
    /// Parses `host:port`; an IPv6 address must be in brackets. None if the text has another form.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(host) => host,
            None if host.contains(':') => return None,
            None => host,
        };
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| Self { host: host.into(), port })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(formatter, "[{host}]:{port}")
        } else {
            write!(formatter, "{host}:{port}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for text in ["kafka:9092", "127.0.0.1:1", "[::1]:65535"] {
            assert_eq!(Address::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "kafka", ":9092", "kafka:", "kafka:x", "kafka:0", "::1:9092", "k:65536"] {
            assert_eq!(Address::parse(text), None, "{text}");
        }
    }
}
