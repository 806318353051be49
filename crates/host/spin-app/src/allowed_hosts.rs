//! `allowed_outbound_hosts`: the network addresses that a component may connect to.

mod rule;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use crate::CHAINING_DOMAIN;
use crate::Error;
use crate::variables::Variables;
use rule::Rule;

pub use rule::default_port;

/// The most addresses that are remembered from name lookups. When there are more, all are
/// forgotten, and a guest that connects without looking the name up again is refused.
const RESOLVED_ADDRESSES_MAX: usize = 1_024;

/// The addresses that one component may connect to.
#[derive(Debug, Default)]
pub struct AllowedHosts {
    rules: Vec<Rule>,
    /// The allowed names that an address was resolved from, so that a socket may connect to it.
    resolved: Mutex<HashMap<IpAddr, Vec<String>>>,
}

impl AllowedHosts {
    /// Parses a component's entries: `scheme://host:port`, where scheme and port may be `*`, host
    /// may be `*`, `*.domain`, a name, an IP or a CIDR network, and port a range `a..b`. An entry
    /// may list addresses, `scheme://host:port,host:port`, as a variable with several brokers does;
    /// Spin accepts only one.
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

    /// Whether the component may connect to a URL's scheme, host and port.
    pub fn allows(&self, scheme: &str, host: &str, port: u16) -> bool {
        self.rules.iter().any(|rule| rule.fits(scheme, host, port))
    }

    /// Whether a TCP or UDP socket may connect to this address. Either the address itself is
    /// allowed, or it was resolved from an allowed name.
    pub fn allows_socket(&self, scheme: &str, address: SocketAddr) -> bool {
        if self.allows(scheme, &address.ip().to_string(), address.port()) {
            return true;
        }
        let resolved = self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        resolved
            .get(&address.ip())
            .is_some_and(|names| names.iter().any(|name| self.allows(scheme, name, address.port())))
    }

    /// Whether the component may send requests to the routes of its own application.
    pub fn allows_self(&self) -> bool {
        self.rules.iter().any(Rule::fits_self)
    }

    /// Whether an entry names the component's own application, as `http://self` does.
    pub fn names_self(&self) -> bool {
        self.rules.iter().any(Rule::names_self)
    }

    /// The ids of the components of the same application that the entries name.
    pub fn chained(&self) -> impl Iterator<Item = &str> {
        self.rules.iter().filter_map(|rule| rule.name()?.strip_suffix(CHAINING_DOMAIN))
    }

    /// Whether a component may look this name up for a socket: an entry for sockets matches it.
    pub fn allows_lookup(&self, name: &str) -> bool {
        self.rules.iter().any(|rule| rule.fits_lookup(name))
    }

    /// Remembers an address that an allowed name was resolved to.
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
    fn self_is_only_the_own_application() {
        for (entry, expected) in [
            ("http://self", true),
            ("http://self.alt:80", true),
            ("*://*:*", true),
            ("http://*", true),
            ("tcp://*:80", false),
            ("http://example.com", false),
        ] {
            assert_eq!(hosts(&[entry]).allows_self(), expected, "{entry}");
        }
        let own = hosts(&["http://self"]);
        assert!(!own.allows("http", "self", 80) && !own.allows("http", "self.alt", 80));
    }

    #[test]
    fn wrong_entries_are_refused() {
        for entry in [
            "example.com",
            "tcp://example.com",
            "http://a b",
            "http://x:99999",
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
            ("https://h", "https", "h", 443),
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
            Variables::resolve(&[("brokers".to_owned(), declaration)].into(), |_| None)
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
