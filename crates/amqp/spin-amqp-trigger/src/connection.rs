//! Connects to the broker.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{FieldTable, ShortString};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind};
use tokio::time::timeout;

use crate::Error;

/// How long connecting may take, and an answer to a command of the protocol.
pub(crate) const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long closing a channel may take.
const CHANNEL_CLOSE_LIMIT: Duration = Duration::from_secs(2);
/// The interval of heartbeats, in seconds. A connection without any for twice this time is closed.
const HEARTBEAT_S: u16 = 10;
/// The reply code of AMQP for something that does not exist.
const NOT_FOUND: u16 = 404;
/// The reply code with which a connection or channel is closed regularly.
pub(crate) const REGULAR_CLOSE: u16 = 200;

/// The address of a broker, and how it is authenticated.
#[derive(Clone)]
pub(crate) struct Address {
    uri: AMQPUri,
    /// The certificates of the authorities, as PEM.
    authorities: Option<String>,
    /// Host, port and virtual host, without the password.
    pub public: String,
}

/// Why a queue cannot be read.
pub(crate) enum Fault {
    /// The broker cannot be reached, or refuses the client.
    Broker(String),
    /// There is no such queue.
    NoQueue(String),
}

impl Address {
    pub fn new(url: &str, ca_file: &str) -> Result<Self, Error> {
        // An error of the parser may contain the password.
        let invalid = || Error::setting("url", "must be `amqp[s]://USER:PASSWORD@HOST:PORT/VHOST`");
        let mut uri: AMQPUri = url.parse().map_err(|_| invalid())?;
        if uri.authority.host.is_empty() {
            return Err(invalid());
        }
        uri.query.heartbeat.get_or_insert(HEARTBEAT_S);
        let authorities = match ca_file {
            "" => None,
            file => {
                let read = std::fs::read_to_string(file);
                Some(read.map_err(|error| Error::setting("ca_file", format!("{file}: {error}")))?)
            }
        };
        if authorities.is_some() && uri.scheme != AMQPScheme::AMQPS {
            return Err(Error::setting("ca_file", "has no effect without `amqps://` in `url`"));
        }
        let (host, port) = (&uri.authority.host, uri.authority.port);
        let public = format!("{host}:{port}, virtual host {}", uri.vhost);
        Ok(Self { uri, authorities, public })
    }

    /// Connects to the broker. `name` is shown in its list of connections.
    pub async fn connect(&self, name: &str) -> Result<Arc<Connection>, Fault> {
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let tls = OwnedTLSConfig { identity: None, cert_chain: self.authorities.clone() };
        let runtime = lapin::runtime::default_runtime().map_err(|error| broker(&error))?;
        let uri = self.uri.clone();
        let connected = Connection::connect_uri_with_config(uri, properties, tls, runtime);
        within(connected).await.map(Arc::new).map_err(Fault::Broker)
    }
}

/// Fails if the queue does not exist. This is checked on a channel of its own, because the broker
/// closes the channel in that case.
pub(crate) async fn check_queue(connection: &Connection, queue: &str) -> Result<(), Fault> {
    let channel = within(connection.create_channel()).await.map_err(Fault::Broker)?;
    match timeout(ANSWER_LIMIT, waiting(&channel, queue)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) if is_not_found(&error) => return Err(Fault::NoQueue(error.to_string())),
        Ok(Err(error)) => return Err(broker(&error)),
        Err(_) => return Err(Fault::Broker(unanswered())),
    }
    close_channel(&channel).await;
    Ok(())
}

/// The number of messages in the queue that wait to be delivered.
pub(crate) async fn waiting(channel: &Channel, queue: &str) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    let declared = channel.queue_declare(queue.into(), options, FieldTable::default()).await?;
    Ok(declared.message_count())
}

/// Closes a channel. lapin closes a channel that is dropped in the background, and fails to close a
/// connection in the meantime.
pub(crate) async fn close_channel(channel: &Channel) {
    // If this fails, the connection is lost, which is noticed elsewhere.
    let closed = channel.close(REGULAR_CLOSE, ShortString::default());
    let _ = timeout(CHANNEL_CLOSE_LIMIT, closed).await;
}

/// Waits for the broker's answer. Fails with the reason.
pub(crate) async fn within<T>(answer: impl Future<Output = lapin::Result<T>>) -> Result<T, String> {
    match timeout(ANSWER_LIMIT, answer).await {
        Ok(answer) => answer.map_err(|error| error.to_string()),
        Err(_) => Err(unanswered()),
    }
}

fn unanswered() -> String {
    format!("the broker did not answer for {} s", ANSWER_LIMIT.as_secs())
}

fn broker(error: &lapin::Error) -> Fault {
    Fault::Broker(error.to_string())
}

/// Whether the error says that something does not exist.
pub(crate) fn is_not_found(error: &lapin::Error) -> bool {
    matches!(error.kind(), ErrorKind::ProtocolError(error) if error.get_id() == NOT_FOUND)
}
