//! `allowed_outbound_hosts`: which network addresses a component may reach.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Mutex, PoisonError};

use ipnet::IpNet;

use crate::Error;
use crate::outbound::CHAINING_DOMAIN;
use crate::variables::Variables;

/// Addresses remembered from name look-ups; past it the memory starts afresh, and a guest
/// that connects without looking its name up again is refused.
const RESOLVED_ADDRESSES_MAX: usize = 1_024;

/// What one component may reach.
#[derive(Debug, Default)]
pub struct AllowedHosts {
    rules: Vec<Rule>,
    /// Which allowed names an address was resolved from, so that a socket may connect to it.
    resolved: Mutex<HashMap<IpAddr, Vec<String>>>,
}

#[derive(Debug)]
struct Rule {
    /// None is any.
    scheme: Option<String>,
    host: Host,
    ports: RangeInclusive<u16>,
}

#[derive(Debug)]
enum Host {
    Any,
    /// `*.example.com`, kept as `.example.com`.
    Below(String),
    Name(String),
    Network(IpNet),
}

impl AllowedHosts {
    /// Parses a component's entries: `scheme://host:port`, where scheme and port may be `*`,
    /// host may be `*`, `*.domain`, a name, an IP or a CIDR network, and port a range `a..b`. An
    /// entry may list addresses, `scheme://host:port,host:port`, as a variable with several
    /// brokers does; Spin takes one.
    pub fn parse(
        component: &str,
        entries: &[String],
        variables: &Variables,
    ) -> Result<Self, Error> {
        let mut rules = Vec::new();
        for template in entries {
            let entry = variables.render(template)?;
            let parsed = Rule::parse_all(&entry).map_err(|message| Error::AllowedHost {
                component: component.into(),
                message: match (entry == *template, variables.has_secret(template)) {
                    (true, _) => message,
                    (false, false) => format!("with its variables `{entry}`: {message}"),
                    (false, true) => "with its variables, of which one is secret, this is not \
                                      scheme://host:port"
                        .into(),
                },
                entry: template.clone(),
            })?;
            rules.extend(parsed);
        }
        Ok(Self { rules, resolved: Mutex::default() })
    }

    /// Whether a URL's scheme, host and port may be reached.
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.rules.iter().any(|rule| {
            rule.fits_scheme(scheme) && rule.ports.contains(&port) && rule.host.fits(host)
        })
    }

    /// Whether a TCP or UDP socket may connect to this address: it is allowed itself, or it
    /// was resolved from a name that is.
    pub fn allows_socket(&self, scheme: &str, address: SocketAddr) -> bool {
        if self.allows(scheme, &address.ip().to_string(), address.port()) {
            return true;
        }
        let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved
            .get(&address.ip())
            .is_some_and(|names| names.iter().any(|name| self.allows(scheme, name, address.port())))
    }

    /// The components of the same application that are named.
    pub(crate) fn chained(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| match &rule.host {
            Host::Name(name) => name.strip_suffix(CHAINING_DOMAIN),
            _ => None,
        })
    }

    /// Whether a socket's user may look this name up: some entry for sockets fits it.
    pub fn allows_lookup(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| {
            (rule.fits_scheme("tcp") || rule.fits_scheme("udp")) && rule.host.fits(name)
        })
    }

    /// Remembers what an allowed name was resolved to.
    pub fn remember(&self, name: &str, address: IpAddr) {
        let mut resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if resolved.len() >= RESOLVED_ADDRESSES_MAX && !resolved.contains_key(&address) {
            resolved.clear();
        }
        let names = resolved.entry(address).or_default();
        if !names.iter().any(|known| known == name) {
            names.push(name.into());
        }
    }
}

impl Rule {
    /// An entry's rules, one for each of its addresses.
    fn parse_all(entry: &str) -> Result<Vec<Self>, String> {
        let (scheme, addresses) = entry
            .split_once("://")
            .ok_or("must be scheme://host:port, such as tcp://127.0.0.1:9092")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        if scheme != "*"
            && !(scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(fits))
        {
            return Err(format!("`{scheme}` is no scheme"));
        }
        addresses.split(',').map(|address| Self::parse(scheme, address.trim())).collect()
    }

    fn parse(scheme: &str, address: &str) -> Result<Self, String> {
        if scheme == "https" {
            return Err(
                "this host sends plain http only; put a proxy that speaks TLS in between".into()
            );
        }
        let (host, port) = split_port(address)?;
        let ports = match port {
            Some(port) => parse_ports(port)?,
            None => {
                let port = default_port(scheme).ok_or_else(|| {
                    format!("scheme `{scheme}` has no default port; add :port or :*")
                })?;
                port..=port
            }
        };
        Ok(Self {
            scheme: (scheme != "*").then(|| scheme.to_ascii_lowercase()),
            host: Host::parse(host)?,
            ports,
        })
    }

    fn fits_scheme(&self, scheme: &str) -> bool {
        self.scheme.as_deref().is_none_or(|own| own == scheme)
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, String> {
        let host = host.to_ascii_lowercase();
        if host == "*" {
            return Ok(Host::Any);
        }
        if host.is_empty() {
            return Err("the host is missing".into());
        }
        if let Some(address) = host.strip_prefix('[') {
            let address = address.strip_suffix(']').and_then(|a| a.parse::<Ipv6Addr>().ok());
            let network = address.map(|address| Host::Network(IpAddr::from(address).into()));
            return network.ok_or_else(|| format!("`{host}` is no IPv6 address"));
        }
        if let Ok(network) = host.parse::<IpNet>() {
            return Ok(Host::Network(network));
        }
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(Host::Network(address.into()));
        }
        if host == "self" || host == "self.alt" {
            return Err("`self` is not supported by this host; name the component: \
                        http://<id>.spin.internal"
                .into());
        }
        let (below, name) = match host.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, host.as_str()),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        // A domain's name may end in a dot.
        let labels = if below { name.strip_prefix('.') } else { Some(name) };
        let labels = labels.map(|name| name.strip_suffix('.').unwrap_or(name));
        let is_name = labels.is_some_and(|name| {
            name.split('.').all(|label| !label.is_empty() && label.chars().all(fits))
        });
        if !is_name {
            return Err(format!("`{host}` is no host name, IP address or network"));
        }
        Ok(if below { Host::Below(name.into()) } else { Host::Name(name.into()) })
    }

    fn fits(&self, host: &str) -> bool {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match self {
            Host::Any => true,
            Host::Below(domain) => {
                host.len() > domain.len() && host.to_ascii_lowercase().ends_with(domain.as_str())
            }
            Host::Name(name) => host.eq_ignore_ascii_case(name),
            Host::Network(network) => {
                host.parse::<IpAddr>().is_ok_and(|address| network.contains(&address))
            }
        }
    }
}

/// Splits `host[:port]`, leaving an IPv6 address in its brackets whole.
fn split_port(rest: &str) -> Result<(&str, Option<&str>), String> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let after_brackets = rest.rfind(']').map_or(0, |at| at + 1);
    let tail = rest.get(after_brackets..).unwrap_or("");
    match tail.rfind(':') {
        Some(at) => {
            let (host, port) = rest.split_at(after_brackets + at);
            Ok((host, port.get(1..).filter(|port| !port.is_empty())))
        }
        None if tail.contains('/') && rest.parse::<IpNet>().is_err() => {
            Err("a path is not allowed; write scheme://host:port".into())
        }
        None => Ok((rest, None)),
    }
}

fn parse_ports(port: &str) -> Result<RangeInclusive<u16>, String> {
    let number = |text: &str| text.parse::<u16>().map_err(|_| format!("`{text}` is no port"));
    let ports = match port.split_once("..") {
        _ if port == "*" => return Ok(0..=u16::MAX),
        // Spin's range excludes its end.
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?);
            if from >= to {
                return Err(format!("`{port}` has no port: a range ends before its second number"));
            }
            from..=to - 1
        }
        None => number(port).map(|port| port..=port)?,
    };
    if *ports.end() == 0 { Err("nothing listens on port 0".into()) } else { Ok(ports) }
}

/// The port of a URL of this scheme that names none.
pub fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" => Some(6379),
        "postgres" => Some(5432),
        "mysql" => Some(3306),
        "mqtt" => Some(1883),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(entries: &[&str]) -> AllowedHosts {
        let entries: Vec<_> = entries.iter().map(|e| e.to_string()).collect();
        AllowedHosts::parse("c", &entries, &Variables::default()).unwrap()
    }

    #[test]
    fn urls() {
        let allowed = hosts(&[
            "http://*.spin.internal",
            "http://api.example.com:8443",
            "*://10.0.0.0/8:*",
            "http://[::1]:80",
        ]);
        for (scheme, host, port, expected) in [
            ("http", "bridge.spin.internal", 80, true),
            ("http", "spin.internal", 80, false),
            ("http", "bridge.spin.internal", 81, false),
            ("https", "bridge.spin.internal", 443, false),
            ("http", "API.example.com", 8443, true),
            ("http", "api.example.com.evil", 8443, false),
            ("tcp", "10.1.2.3", 9, true),
            ("tcp", "11.1.2.3", 9, false),
            ("http", "[::1]", 80, true),
        ] {
            assert_eq!(allowed.allows(scheme, host, port), expected, "{scheme}://{host}:{port}");
        }
    }

    #[test]
    fn sockets_need_an_address_or_a_resolved_name() {
        let allowed = hosts(&["tcp://valkey:6379", "tcp://127.0.0.1:9000..9010"]);
        assert!(allowed.allows_socket("tcp", "127.0.0.1:9009".parse().unwrap()));
        assert!(!allowed.allows_socket("tcp", "127.0.0.1:9010".parse().unwrap()));
        assert!(!allowed.allows_socket("udp", "127.0.0.1:9000".parse().unwrap()));
        let address: SocketAddr = "192.0.2.7:6379".parse().unwrap();
        assert!(!allowed.allows_socket("tcp", address));
        assert!(allowed.allows_lookup("valkey") && !allowed.allows_lookup("other"));
        allowed.remember("valkey", address.ip());
        assert!(allowed.allows_socket("tcp", address));
        assert!(!allowed.allows_socket("tcp", "192.0.2.7:6380".parse().unwrap()));
    }

    #[test]
    fn an_entry_may_list_addresses() {
        let allowed = hosts(&["tcp://a:1,b:2, c:3..5"]);
        for (host, port, expected) in
            [("a", 1, true), ("b", 2, true), ("c", 4, true), ("a", 2, false), ("b", 1, false)]
        {
            assert_eq!(allowed.allows("tcp", host, port), expected, "{host}:{port}");
        }
    }

    #[test]
    fn an_entry_for_http_opens_no_sockets() {
        let allowed = hosts(&["http://example.com"]);
        assert!(!allowed.allows_lookup("example.com"));
    }

    #[test]
    fn wrong_entries_are_refused() {
        for entry in [
            "example.com",
            "tcp://example.com",
            "http://a b",
            "http://x:99999",
            "http://self",
            "https://a",
            "http://a/b",
            "tcp://*x:1",
            "tcp://a:1,",
            "tcp://a:1,b",
            "http://h:9..5",
            "http://h:9..9",
            "http://h:0",
            "http://h:0..1",
            "http://h:1..70000",
            "http://h:1..",
            "http://",
            "://h:1",
            "ht tp://h:1",
            "http://a..b",
            "http://.a",
            "http://*.",
            "http://[::1",
            "http://[::1]]:80",
            "http://[a]:80",
            "http://u@h",
            "http://h?x",
        ] {
            let parsed = AllowedHosts::parse("c", &[entry.to_string()], &Variables::default());
            let fault = parsed.expect_err(entry).to_string();
            assert!(fault.contains(entry), "{fault}");
        }
    }

    #[test]
    fn entries_as_spin_has_them() {
        for (entry, scheme, host, port) in [
            ("http://h:", "http", "h", 80),
            ("mysql://db", "mysql", "db", 3306),
            ("http://h:8000..8002/", "http", "h", 8001),
            ("http://h.example.:80", "http", "h.example.", 80),
            ("*://[::1]:*", "tcp", "::1", 7),
        ] {
            assert!(hosts(&[entry]).allows(scheme, host, port), "{entry}");
        }
    }

    #[test]
    fn a_fault_shows_the_template_and_no_secret() {
        let declared = |secret| {
            let default = Some("hunter2 ".to_owned());
            let declaration = crate::app::Declaration { default, secret, ..Default::default() };
            Variables::resolve(&[("brokers".to_owned(), declaration)].into(), |_| None).unwrap()
        };
        let fault = |secret| {
            let entries = ["tcp://{{ brokers }}".to_owned()];
            AllowedHosts::parse("c", &entries, &declared(secret)).unwrap_err().to_string()
        };
        let shown = fault(false);
        assert!(
            shown.contains("`tcp://{{ brokers }}`") && shown.contains("`tcp://hunter2 `"),
            "{shown}"
        );
        let hidden = fault(true);
        assert!(
            hidden.contains("`tcp://{{ brokers }}`") && !hidden.contains("hunter2"),
            "{hidden}"
        );
    }
}
