//! Hosts of requests.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether the host of an authority, `host[:port]`, is an IP address or `localhost`. The origin of a
/// page that is requested under such a host differs from that of every other site, whose pages can
/// therefore not read the response.
pub fn is_address_or_localhost(authority: &str) -> bool {
    match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((ip, port))) => {
            ip.parse::<Ipv6Addr>().is_ok() && (port.is_empty() || port.starts_with(':'))
        }
        Some(None) => false,
        None => {
            let host = authority.split_once(':').map_or(authority, |(host, _port)| host);
            host.eq_ignore_ascii_case("localhost") || host.parse::<Ipv4Addr>().is_ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_address_or_localhost;

    #[test]
    fn an_address_is_distinguished_from_a_name() {
        for host in
            ["127.0.0.1", "127.0.0.1:3000", "10.0.0.1:1", "localhost:3000", "[::1]:3000", "[::1]"]
        {
            assert!(is_address_or_localhost(host), "{host}");
        }
        for host in [
            "",
            "evil.example:3000",
            "127.0.0.1.evil.example",
            "localhost.evil",
            "[::1",
            "[x]",
            "[::1].evil",
        ] {
            assert!(!is_address_or_localhost(host), "{host}");
        }
    }
}
