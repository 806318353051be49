//! The headers of a request that is forwarded.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;

/// The header in which the host passes on the address of the client.
const CLIENT_ADDR: &str = "spin-client-addr";

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Fields that concern only one connection. The host has removed those that `Connection` names, and
/// `Connection` itself.
const OF_CONNECTION: [HeaderName; 10] = [
    header::CONNECTION,
    header::HOST,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// From whom a request came, and for which server it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client<'a> {
    /// `http` or `https`.
    pub scheme: &'a str,
    /// `host[:port]` that the client sent.
    pub host: Option<&'a str>,
}

/// The headers that the upstream gets: those of the request without the fields of the connection, and
/// with `X-Forwarded-For`, `-Host`, `-Proto` and `Forwarded`.
///
/// Values of such fields that come with the request are kept only if its sender is a trusted proxy.
/// Otherwise clients could forge them.
pub fn forwarded_headers(headers: &HeaderMap, client: Client<'_>, trusted: &[IpNet]) -> HeaderMap {
    let peer = peer(headers);
    let is_trusted = peer.is_some_and(|peer| trusted.iter().any(|network| network.contains(&peer)));
    let is_passed_on = |name: &HeaderName| {
        let is_trailers =
            *name == header::TE && headers.get(name).is_some_and(|te| te == "trailers");
        (!OF_CONNECTION.contains(name) || is_trailers)
            && !name.as_str().starts_with("spin-")
            && (is_trusted && !name.as_str().contains('_') || !is_about_forwarding(name))
    };
    let mut forwarded = HeaderMap::with_capacity(headers.len() + 4);
    for (name, value) in headers.iter().filter(|(name, _)| is_passed_on(name)) {
        forwarded.append(name, value.clone());
    }
    if let Some(peer) = peer {
        extend(&mut forwarded, &FOR, &peer.to_string());
    }
    extend(&mut forwarded, &header::FORWARDED, &element(peer, client));
    for (name, value) in [(HOST, client.host), (PROTO, Some(client.scheme))] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            forwarded.entry(name).or_insert(value);
        }
    }
    forwarded
}

/// Some servers read `x_forwarded_for` as the same field.
fn is_about_forwarding(name: &HeaderName) -> bool {
    let name = name.as_str().replace('_', "-");
    name.starts_with("x-forwarded-") || ["forwarded", "x-real-ip"].contains(&name.as_str())
}

fn peer(headers: &HeaderMap) -> Option<IpAddr> {
    // Spin adds its field behind those that the client sent.
    let address = headers.get_all(CLIENT_ADDR).iter().next_back()?;
    let address = address.to_str().ok()?.parse::<SocketAddr>().ok()?;
    Some(address.ip().to_canonical())
}

/// Adds an item to a list, which may have several fields.
fn extend(headers: &mut HeaderMap, name: &HeaderName, item: &str) {
    let fields = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let mut value = fields.collect::<Vec<_>>().join(&b", "[..]);
    if !value.is_empty() {
        value.extend(b", ");
    }
    value.extend(item.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&value) {
        headers.insert(name, value);
    }
}

/// An element of `Forwarded` (RFC 7239).
fn element(peer: Option<IpAddr>, client: Client<'_>) -> String {
    let mut element = match peer {
        Some(IpAddr::V4(address)) => format!("for={address}"),
        Some(IpAddr::V6(address)) => format!("for=\"[{address}]\""),
        None => "for=unknown".into(),
    };
    if let Some(host) = client.host.filter(|host| !host.contains(['"', '\\'])) {
        element += &format!(";host=\"{host}\"");
    }
    element + &format!(";proto={}", client.scheme)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn forward(fields: &[(&str, &str)], trusted: &[&str]) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        let trusted: Vec<_> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let client = Client { scheme: "http", host: Some("shop:80") };
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let mut all: Vec<_> =
            forwarded_headers(&headers, client, &trusted).iter().map(text).collect();
        all.sort();
        all
    }

    fn fields(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    const SENT: [(&str, &str); 13] = [
        ("accept", "a"),
        ("accept", "b"),
        ("connection", "close"),
        ("proxy-connection", "close"),
        ("te", "trailers"),
        ("keep-alive", "5"),
        ("spin-client-addr", "192.0.3.1:1"),
        ("spin-client-addr", "192.0.2.7:1"),
        ("x-forwarded-for", "203.0.113.1"),
        ("x_forwarded_for", "203.0.113.2"),
        ("forwarded", "for=203.0.113.1"),
        ("x-forwarded-proto", "https"),
        ("x-real-ip", "203.0.113.1"),
    ];

    #[test]
    fn clients_cannot_forge_the_fields() {
        let expected = [
            ("accept", "a"),
            ("accept", "b"),
            ("forwarded", "for=192.0.2.7;host=\"shop:80\";proto=http"),
            ("te", "trailers"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "shop:80"),
            ("x-forwarded-proto", "http"),
        ];
        assert_eq!(forward(&SENT, &[]), fields(&expected));
        assert_eq!(forward(&SENT, &["192.0.3.0/24"]), fields(&expected));
    }

    #[test]
    fn fields_of_trusted_proxies_are_kept() {
        let expected = [
            ("accept", "a"),
            ("accept", "b"),
            ("forwarded", "for=203.0.113.1, for=192.0.2.7;host=\"shop:80\";proto=http"),
            ("te", "trailers"),
            ("x-forwarded-for", "203.0.113.1, 192.0.2.7"),
            ("x-forwarded-host", "shop:80"),
            ("x-forwarded-proto", "https"),
            ("x-real-ip", "203.0.113.1"),
        ];
        assert_eq!(forward(&SENT, &["192.0.2.0/24"]), fields(&expected));
    }

    #[test]
    fn every_sender_has_an_element() {
        for (address, expected) in [
            ("[2001:db8::1]:5", "for=\"[2001:db8::1]\";host=\"shop:80\";proto=http"),
            ("[::ffff:192.0.2.1]:5", "for=192.0.2.1;host=\"shop:80\";proto=http"),
            ("?", "for=unknown;host=\"shop:80\";proto=http"),
        ] {
            let all = forward(&[("spin-client-addr", address)], &["0.0.0.0/0"]);
            assert!(all.contains(&("forwarded".into(), expected.into())), "{all:?}");
        }
    }
}
