//! The metrics that the live page shows: those of this process, unless others are configured.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context as _, Result};
use runner::{Addresses, RunOptions};
use spin_app::App;
use tokio::net::TcpListener;

use super::args::Args;

/// The URL of the metrics, and the address in it.
const URL: &str = "metrics_url";
const ADDRESS: &str = "metrics_address";

/// Where the live page reads the metrics of the pipeline.
#[derive(Default)]
pub struct LivePage {
    /// The operator port that was bound because the live page reads it.
    operator: Option<TcpListener>,
    /// Values of the variables.
    variables: BTreeMap<String, String>,
}

impl LivePage {
    /// Binds the operator port if the application uses the variable `metrics_url`, it has no value,
    /// all components run in this process, and there is an address: that of `--operator`, or a
    /// loopback address if the components are served on one, too.
    pub async fn bind(args: &Args, app: &App, options: &RunOptions) -> Result<Self> {
        if !app.uses(URL) {
            return Ok(Self::default());
        }
        if let Some(url) = options.given(app, URL)? {
            let address = match options.given(app, ADDRESS)? {
                None => address_of(&url).map(|address| (ADDRESS.to_owned(), address)),
                Some(_) => None,
            };
            return Ok(Self { operator: None, variables: address.into_iter().collect() });
        }
        let operator = match args.operator {
            _ if !args.component_id.is_empty() => return Ok(Self::default()),
            Some(address) => bind(address).await?,
            None if args.listen.ip().is_loopback() => bind_default(args.listen).await?,
            None => return Ok(Self::default()),
        };
        let address = reachable(operator.local_addr()?).to_string();
        let url = format!("http://{address}/metrics");
        let mut variables = BTreeMap::from([(URL.to_owned(), url)]);
        if app.variables.contains_key(ADDRESS) {
            variables.insert(ADDRESS.to_owned(), address);
        }
        Ok(Self { operator: Some(operator), variables })
    }

    /// Values of the variables that the application declares.
    pub fn variables(&self) -> BTreeMap<String, String> {
        self.variables.clone()
    }

    /// The addresses at which the application is served.
    pub fn addresses(self, args: &Args) -> Addresses {
        let operator = args.operator.filter(|_| self.operator.is_none());
        Addresses { listen: Some(args.listen), operator, bound_operator: self.operator }
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener> {
    let bound = TcpListener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address} for operators"))
}

/// Binds the port after that of the components, or a free port if that one is in use: the user did
/// not ask for it.
async fn bind_default(components: SocketAddr) -> Result<TcpListener> {
    let port = match components.port() {
        0 => 0,
        port => port.checked_add(1).unwrap_or_default(),
    };
    let mut address = SocketAddr::new(components.ip(), port);
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(listener),
        Err(_) => {
            address.set_port(0);
            bind(address).await
        }
    }
}

/// The address at which this process reaches its own port.
fn reachable(mut bound: SocketAddr) -> SocketAddr {
    if bound.ip().is_unspecified() {
        bound.set_ip(match bound.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    bound
}

/// `host[:port]` in a URL with the scheme `http`.
fn address_of(url: &str) -> Option<String> {
    let rest = url.strip_prefix("http://")?;
    let address = rest.split(['/', '?', '#']).next().filter(|address| !address.is_empty());
    address.map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_part_of_the_url() {
        for (url, address) in [
            ("http://127.0.0.1:3001/metrics", Some("127.0.0.1:3001")),
            ("http://prometheus/federate?match[]=up", Some("prometheus")),
            ("http://[::1]:9090?x", Some("[::1]:9090")),
            ("https://prometheus/federate", None),
            ("", None),
            ("http://", None),
        ] {
            assert_eq!(address_of(url).as_deref(), address, "{url}");
        }
    }

    #[test]
    fn a_port_on_all_addresses_is_reached_over_the_loopback_interface() {
        for (bound, address) in [
            ("0.0.0.0:9090", "127.0.0.1:9090"),
            ("[::]:9090", "[::1]:9090"),
            ("10.0.0.1:9090", "10.0.0.1:9090"),
        ] {
            assert_eq!(reachable(bound.parse().unwrap()), address.parse().unwrap(), "{bound}");
        }
    }

    #[tokio::test]
    async fn a_default_port_that_is_in_use_is_replaced() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let used = listener.local_addr().unwrap();
        let components = SocketAddr::new(used.ip(), used.port() - 1);
        let bound = bind_default(components).await.unwrap().local_addr().unwrap();
        assert_ne!(bound.port(), used.port());
        assert!(bound.ip().is_loopback());
    }
}
