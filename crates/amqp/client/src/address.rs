//! Connects to a broker.

use std::fmt;
use std::sync::Arc;

use lapin::tcp::OwnedTLSConfig;
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Connection, ConnectionProperties};
use tokio::time::timeout;

use crate::answer::{ANSWER_LIMIT, reply_code, unanswered};

/// The interval of heartbeats, in seconds. A connection without any for twice this time is closed.
const HEARTBEAT_S: u16 = 10;
/// The reply codes of AMQP with which a broker refuses a user (403) or a virtual host (530).
const REFUSALS: [u16; 2] = [403, 530];

/// The address of a broker, and how it is authenticated.
#[derive(Clone)]
pub struct Address {
    uri: AMQPUri,
    /// The certificates of the authorities, as PEM.
    authorities: Option<String>,
    public: String,
}

/// Why an address is invalid. The texts do not contain it, because it has a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not a URL of AMQP.
    #[error("must be `amqp[s]://USER:PASSWORD@HOST:PORT/VHOST`; HOST is a name or an IPv4 address")]
    Url,
    /// There are certificates, but the connection is not encrypted.
    #[error("has no effect without `amqps://` in the URL")]
    Authorities,
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ConnectError {
    /// The reason.
    pub reason: String,
    /// Whether the broker refuses the user or the virtual host.
    pub is_refused: bool,
}

impl fmt::Debug for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Address").field(&self.public).finish()
    }
}

impl Address {
    /// Parses `amqp[s]://USER:PASSWORD@HOST:PORT/VHOST`. `authorities` are certificates (PEM) that
    /// may have signed that of the broker, in addition to those of the system. HOST is a name or an IPv4
    /// address.
    pub fn new(url: &str, authorities: Option<String>) -> Result<Self, AddressError> {
        let mut uri: AMQPUri = url.parse().map_err(|_| AddressError::Url)?;
        let host = &uri.authority.host;
        if host.is_empty() || host == "localhost" && !names(url, host) {
            return Err(AddressError::Url);
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        if authorities.is_some() && uri.scheme != AMQPScheme::AMQPS {
            return Err(AddressError::Authorities);
        }
        let (host, port) = (&uri.authority.host, uri.authority.port);
        let public = format!("{host}:{port}, virtual host {}", uri.vhost);
        Ok(Self { uri, authorities, public })
    }

    /// Host, port and virtual host, without the password.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The host of the broker.
    pub fn host(&self) -> &str {
        &self.uri.authority.host
    }

    /// The port of the broker.
    pub fn port(&self) -> u16 {
        self.uri.authority.port
    }

    /// Connects to the broker. `name` is shown in its list of connections.
    pub async fn connect(&self, name: &str) -> Result<Arc<Connection>, ConnectError> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.authorities.clone() };
        let runtime = lapin::runtime::default_runtime().map_err(failed)?;
        let uri = self.uri.clone();
        let connected = Connection::connect_uri_with_config(uri, properties, tls, runtime);
        match timeout(ANSWER_LIMIT, connected).await {
            Ok(connected) => connected.map(Arc::new).map_err(failed),
            Err(_) => Err(ConnectError { reason: unanswered(), is_refused: false }),
        }
    }
}

/// Whether the URL names this host. Instead of a missing host and of an IPv6 address, lapin uses
/// `localhost`, to which it would send the password.
fn names(url: &str, host: &str) -> bool {
    let authority = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = authority.split(['/', '?', '#']).next().unwrap_or_default();
    let address = authority.rsplit('@').next().unwrap_or_default();
    address.split(':').next() == Some(host)
}

fn failed(error: lapin::Error) -> ConnectError {
    let is_refused = reply_code(&error).is_some_and(|code| REFUSALS.contains(&code));
    ConnectError { reason: error.to_string(), is_refused }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let url = "amqp://guest:hunter2@rabbit:5673/shop";
        let address = Address::new(url, None).unwrap();
        assert_eq!(address.public(), "rabbit:5673, virtual host shop");
        assert_eq!((address.host(), address.port()), ("rabbit", 5_673));
        assert_eq!(format!("{address:?}"), r#"Address("rabbit:5673, virtual host shop")"#);
        assert_eq!(Address::new("amqp://guest:p@localhost", None).unwrap().host(), "localhost");
        for url in [
            "http://guest:hunter2@rabbit",
            "amqp://guest:hunter2@",
            "amqp://guest:hunter2@[::1]:5672/",
            "amqp:///shop",
            "amqp://:5672/shop",
            "",
        ] {
            assert_eq!(Address::new(url, None).unwrap_err(), AddressError::Url, "{url}");
        }
        let unused = Address::new(url, Some(String::new())).unwrap_err();
        assert_eq!(unused, AddressError::Authorities);
    }
}
