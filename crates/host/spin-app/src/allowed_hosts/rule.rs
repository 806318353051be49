//! One entry of `allowed_outbound_hosts`, parsed.

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;

use ipnet::IpNet;

#[derive(Debug)]
pub(super) struct Rule {
    /// `None` matches any scheme.
    scheme: Option<String>,
    host: Host,
    ports: RangeInclusive<u16>,
}

#[derive(Debug)]
enum Host {
    Any,
    /// The routes of the application that the component belongs to.
    ToSelf,
    /// `*.example.com`, stored as `.example.com`.
    Below(String),
    Name(String),
    Network(IpNet),
}

impl Rule {
    /// Parses an entry into one rule for each of its addresses.
    pub fn parse_all(entry: &str) -> Result<Vec<Self>, String> {
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

    /// Whether the rule matches a URL's scheme, host and port.
    pub fn fits(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.fits_scheme(scheme) && self.ports.contains(&port) && self.host.fits(host)
    }

    /// Whether the rule allows a lookup of this name for a socket.
    pub fn fits_lookup(&self, name: &str) -> bool {
        (self.fits_scheme("tcp") || self.fits_scheme("udp")) && self.host.fits(name)
    }

    /// Whether the rule allows requests to the routes of the component's own application.
    pub fn fits_self(&self) -> bool {
        (self.fits_scheme("http") || self.fits_scheme("https"))
            && (self.names_self() || matches!(self.host, Host::Any))
    }

    /// Whether the rule's host is `self`.
    pub fn names_self(&self) -> bool {
        matches!(self.host, Host::ToSelf)
    }

    /// The rule's host, if it is a name that has to be looked up.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            Host::Name(name) => Some(name),
            _ => None,
        }
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
            return Ok(Host::ToSelf);
        }
        let (below, name) = match host.strip_prefix('*') {
            Some(rest) => (true, rest),
            None => (false, host.as_str()),
        };
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        // A domain name may end in a dot.
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
            Host::ToSelf => false,
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

/// Splits `host[:port]`. The colons of an IPv6 address in brackets are not separators.
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
        // As in Spin, the range excludes its end.
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

/// The default port of a URL scheme.
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
