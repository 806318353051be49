//! A list of servers, one of which is the primary.

use std::fmt;

use crate::address::DEFAULT_PORT;
use crate::{Address, Error};

/// Maximum number of servers in a URL. A new connection may have to query all of them.
pub const SERVERS_MAX: usize = 8;

/// The default port of a Sentinel.
const SENTINEL_PORT: u16 = 26_379;

/// The URL of a store, parsed: a primary and its replicas in any order, a single server, or the
/// Sentinels that know the primary. The list is never empty. User, password and database are the
/// same for all servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Servers {
    addresses: Vec<Address>,
    tls: bool,
    service: Option<String>,
}

impl Servers {
    /// Parses `redis://[user:password@]host[:port][,host[:port]…][/db]`, or with the scheme
    /// `rediss` for TLS. With `redis+sentinel` or `rediss+sentinel`, the hosts are Sentinels, and
    /// the path is `/service[/db]`.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let wrong = |what: &str| Error::Address(what.into());
        let (scheme, rest) =
            url.split_once("://").ok_or_else(|| wrong("it must begin with redis://"))?;
        let (base, has_sentinels) = match scheme.strip_suffix("+sentinel") {
            Some(base) => (base, true),
            None => (scheme, false),
        };
        let tls = match base {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong("the scheme is unknown")),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (service, database) = match has_sentinels {
            true => {
                let (service, database) = service_of(path)?;
                (Some(service), database)
            }
            false => (None, path),
        };
        // Only commas after the last `@` separate hosts; a password may contain commas.
        let (credentials, hosts) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        let count = hosts.split(',').count();
        if count > SERVERS_MAX {
            let text = format!("it contains {count} servers; at most {SERVERS_MAX} are allowed");
            return Err(wrong(&text));
        }
        let default_port = if has_sentinels { SENTINEL_PORT } else { DEFAULT_PORT };
        let one = |host| {
            Address::with_default_port(
                &format!("redis://{credentials}{host}{database}"),
                default_port,
            )
        };
        let addresses = hosts.split(',').map(one).collect::<Result<_, _>>()?;
        Ok(Self { addresses, tls, service })
    }

    /// Whether connections use TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// The name under which the Sentinels monitor the primary; None if the servers are no
    /// Sentinels.
    pub fn service(&self) -> Option<&str> {
        self.service.as_deref()
    }

    /// The servers in the order of the URL.
    pub fn iter(&self) -> std::slice::Iter<'_, Address> {
        self.addresses.iter()
    }

    /// The servers with their indexes, starting at `first` and wrapping around. An index after the
    /// last one is taken modulo the number of servers.
    pub fn starting_at(&self, first: usize) -> impl Iterator<Item = (usize, &Address)> {
        let count = self.addresses.len();
        // The list is never empty.
        self.addresses
            .iter()
            .enumerate()
            .cycle()
            .skip(first.checked_rem(count).unwrap_or(0))
            .take(count)
    }

    /// The URL without user and password.
    pub fn public_url(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (sentinel, service) = match &self.service {
            Some(service) => ("+sentinel", format!("/{service}")),
            None => ("", String::new()),
        };
        let database = match self.addresses.first().map_or(0, |server| server.database) {
            0 => String::new(),
            database => format!("/{database}"),
        };
        format!("{scheme}{sentinel}://{self}{service}{database}")
    }
}

impl fmt::Display for Servers {
    /// Prints `host:port[,host:port…]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, server) in self.addresses.iter().enumerate() {
            write!(f, "{}{server}", if index == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

/// Splits the path `/service[/db]`.
fn service_of(path: &str) -> Result<(String, &str), Error> {
    let path = path.strip_prefix('/').unwrap_or_default();
    let (service, database) = path.split_at(path.find('/').unwrap_or(path.len()));
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if service.is_empty() || !service.chars().all(is_name) {
        let text = "after the Sentinels, the path must be the service's name, of letters, digits \
                    and `-_.`";
        return Err(Error::Address(text.into()));
    }
    Ok((service.into(), database))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers(url: &str) -> Servers {
        Servers::parse(url).unwrap()
    }

    #[test]
    fn a_single_host_is_parsed_as_an_address() {
        for url in ["redis://h", "redis://u:p@h:1/3", "redis://:p@[::1]", "redis://u:p,q@h/"] {
            let addresses = vec![Address::parse(url).unwrap()];
            assert_eq!(servers(url), Servers { addresses, tls: false, service: None }, "{url}");
        }
    }

    #[test]
    fn the_scheme_selects_tls_and_sentinel() {
        let tls = servers("rediss://:p@a,b:1/2");
        assert!(tls.tls() && tls.service().is_none());
        assert_eq!(tls.addresses, servers("redis://:p@a,b:1/2").addresses);
        let sentinels = servers("redis+sentinel://:p@a,b:1/my-shop/2");
        assert_eq!((sentinels.tls(), sentinels.service()), (false, Some("my-shop")));
        assert_eq!(sentinels.to_string(), "a:26379,b:1");
        assert!(sentinels.iter().all(|address| address.database == 2));
        assert!(servers("rediss+sentinel://a/shop").tls());
    }

    #[test]
    fn texts_contain_no_credentials() {
        for (url, addresses, public) in [
            ("redis://h", "h:6379", "redis://h:6379"),
            (
                "redis://u:p@a:1,b,[::1]/2",
                "a:1,b:6379,[::1]:6379",
                "redis://a:1,b:6379,[::1]:6379/2",
            ),
            ("redis://:s%40,t@a,[::1]:7", "a:6379,[::1]:7", "redis://a:6379,[::1]:7"),
            (
                "redis://10.0.0.1:1,10.0.0.2:2/0",
                "10.0.0.1:1,10.0.0.2:2",
                "redis://10.0.0.1:1,10.0.0.2:2",
            ),
            ("rediss://u:p@a/1", "a:6379", "rediss://a:6379/1"),
            (
                "rediss+sentinel://u:p@a,b:1/shop/1",
                "a:26379,b:1",
                "rediss+sentinel://a:26379,b:1/shop/1",
            ),
            ("redis+sentinel://u:p@a/shop", "a:26379", "redis+sentinel://a:26379/shop"),
        ] {
            assert_eq!(servers(url).to_string(), addresses);
            assert_eq!(servers(url).public_url(), public);
        }
    }

    #[test]
    fn invalid_urls_are_refused_and_not_repeated() {
        for url in [
            "",
            "a:1,b:2",
            "http://secret@a,b",
            "redis://:secret@",
            "redis://:secret@a,",
            "redis://:secret@,a",
            "redis://:secret@a,,b",
            "redis://:secret@a:1,b:99999",
            "redis://:secret@a, b",
            "redis://secret@a,b",
            "redis://:secret@a/1,b/2",
            "redis://:secret@a,b?x=c,d",
            "redis://:secret@a,b,c,d,e,f,g,h,i",
            "redisss://:secret@a",
            "redis+cluster://:secret@a",
            "redis+sentinel://:secret@a",
            "redis+sentinel://:secret@a/",
            "redis+sentinel://:secret@a//1",
            "redis+sentinel://:secret@a/s/x",
            "redis+sentinel://:secret@a/s?x=y",
        ] {
            let error = Servers::parse(url).expect_err(url);
            assert!(matches!(error, Error::Address(_)), "{url}");
            assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
        }
    }

    #[test]
    fn the_maximum_number_of_servers_is_accepted() {
        let hosts = ["h"; SERVERS_MAX].join(",");
        assert_eq!(servers(&format!("redis://{hosts}")).iter().count(), SERVERS_MAX);
    }

    #[test]
    fn the_order_starts_at_any_server() {
        let three = servers("redis://a,b,c");
        for (first, expected) in [(0, "abc"), (1, "bca"), (2, "cab"), (3, "abc"), (7, "bca")] {
            let order: String = three.starting_at(first).map(|(_, at)| at.host.as_str()).collect();
            assert_eq!(order, expected);
        }
        let indexes: Vec<usize> = three.starting_at(2).map(|(index, _)| index).collect();
        assert_eq!(indexes, [2, 0, 1]);
    }

    /// Credentials as they are written in a URL, and decoded. Hosts contain none of these letters.
    fn secret() -> impl Strategy<Value = (String, String)> {
        prop::sample::select(vec![("X", "X"), ("X%40Y", "X@Y"), ("X,Y", "X,Y"), ("X%2FY", "X/Y")])
            .prop_map(|(written, meant)| (written.into(), meant.into()))
    }

    fn host() -> impl Strategy<Value = (String, Option<u16>)> {
        let name = prop_oneof!["[a-w][a-w0-9.-]{0,20}", Just("[2001:db8::1]".to_owned())];
        (name, prop::option::of(1..u16::MAX))
    }

    proptest! {
        #[test]
        fn all_hosts_are_read_with_the_same_credentials(
            (user, password) in (secret(), secret()),
            hosts in prop::collection::vec(host(), 1..=SERVERS_MAX),
            database in 0u32..20,
        ) {
            let with_port = |(host, port): &(String, Option<u16>)| match port {
                Some(port) => format!("{host}:{port}"),
                None => host.clone(),
            };
            let written: Vec<String> = hosts.iter().map(with_port).collect();
            let (written, credentials) = (written.join(","), format!("{}:{}", user.0, password.0));
            let read = servers(&format!("redis://{credentials}@{written}/{database}"));
            let expected = |(host, port): &(String, Option<u16>)| Address {
                host: host.trim_matches(['[', ']']).into(),
                port: port.unwrap_or(6379),
                user: Some(user.1.clone()),
                password: Some(password.1.clone()),
                database,
            };
            prop_assert_eq!(&read.addresses, &hosts.iter().map(expected).collect::<Vec<_>>());
            prop_assert_eq!(&servers(&read.public_url()).to_string(), &read.to_string());
            for shown in [format!("{read:?}"), read.to_string(), read.public_url()] {
                prop_assert!(!shown.contains(['X', 'Y', '%', '@']), "{}", shown);
            }
        }

        #[test]
        fn arbitrary_texts_do_not_cause_a_panic(url: String) {
            let _ = Servers::parse(&url);
            let _ = Servers::parse(&format!("redis://{url}"));
        }
    }
}
