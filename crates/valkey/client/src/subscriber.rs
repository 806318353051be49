//! A connection that subscribes to channels.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use valkey_codec::{
    Address, ClientError, Event, Refusal, Reply, Scalar, Servers, SubscriptionDecoder, auth_resp2,
    connect_to_primary, encode, hello_resp2, refusal_resp2, without_password,
};

use crate::Tls;
use crate::connection::{Connection, within_connect_limit};
use crate::transport::{Stream, dial};

/// After this time without a message the server is asked for a sign of life.
const PING_INTERVAL: Duration = Duration::from_secs(5);

/// Maximum time for its answer. After that the connection counts as lost.
const PING_LIMIT: Duration = Duration::from_secs(10);

/// The most bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Channels of one server or, of several servers, of the primary: a replica has the messages that were
/// published at its primary, but not the other way round.
#[derive(Debug, Clone)]
pub struct Subscription {
    servers: Servers,
    tls: Option<Tls>,
    channels: Vec<String>,
    payload_max: usize,
}

/// A message, or what remains of one that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The channel that it was published on.
    pub channel: Vec<u8>,
    /// Its content. If that is too long, only its length.
    pub payload: Result<Vec<u8>, u64>,
}

impl Subscription {
    /// These channels, of which there must be at least one. Does not connect yet. A payload with more
    /// than `payload_max` bytes is not stored.
    pub fn new(
        servers: Servers,
        channels: Vec<String>,
        payload_max: usize,
    ) -> Result<Self, String> {
        let tls = servers.tls().then(|| Tls::new("")).transpose()?;
        Ok(Self { servers, tls, channels, payload_max })
    }

    /// Connects, and subscribes to the channels.
    pub async fn open(&self) -> Result<Subscriber, ClientError> {
        let open = |address| self.open_at(address);
        let sleep = |time: Duration| tokio::time::sleep(time);
        let (_, subscriber) = connect_to_primary(&self.servers, 0, open, sleep).await?;
        Ok(subscriber)
    }

    async fn open_at(&self, address: &Address) -> Result<Subscriber, ClientError> {
        let tls = self.tls.as_ref();
        let address = match self.servers.service() {
            Some(service) => &Connection::ask_sentinel(address, service, tls).await?,
            None => address,
        };
        within_connect_limit(address, async {
            let stream = dial(address, tls).await;
            let stream = stream.map_err(|error| ClientError::Interrupted(error.to_string()))?;
            let mut subscriber = Subscriber::new(stream, self.payload_max);
            subscriber.greet(address, self.is_single()).await?;
            subscriber.subscribe(address, &self.channels).await?;
            Ok(subscriber)
        })
        .await
    }

    /// Whether there is only one server, whose role does not matter.
    fn is_single(&self) -> bool {
        self.servers.iter().len() == 1 && self.servers.service().is_none()
    }
}

/// An open connection. It is closed when it is dropped, which ends the subscriptions.
pub struct Subscriber {
    stream: Box<dyn Stream>,
    decoder: SubscriptionDecoder,
    buffer: Vec<u8>,
    /// Whether the server has not yet answered a PING.
    is_asked: bool,
}

impl Subscriber {
    fn new(stream: Box<dyn Stream>, payload_max: usize) -> Self {
        let decoder = SubscriptionDecoder::new(payload_max);
        Self { stream, decoder, buffer: vec![0; READ_BYTES], is_asked: false }
    }

    /// The next message. An error means that the connection is lost.
    pub async fn next(&mut self) -> Result<Received, ClientError> {
        loop {
            match self.decoded()? {
                Some(Event::Message { channel, payload }) => {
                    return Ok(Received { channel, payload: Ok(payload) });
                }
                Some(Event::TooLong { channel, bytes }) => {
                    return Ok(Received { channel, payload: Err(bytes) });
                }
                // An answer to PING, also if the user may not call it.
                Some(Event::Subscribed | Event::Other(_)) => {}
                None => self.read_or_ask().await?,
            }
        }
    }

    /// Reads bytes, and asks the server for a sign of life if there are none.
    async fn read_or_ask(&mut self) -> Result<(), ClientError> {
        let limit = if self.is_asked { PING_LIMIT } else { PING_INTERVAL };
        if let Ok(read) = timeout(limit, self.read()).await {
            self.is_asked = false;
            return read;
        }
        if self.is_asked {
            let text = format!("the server has not answered for {PING_LIMIT:?}");
            return Err(ClientError::Interrupted(text));
        }
        self.is_asked = true;
        self.send(&[vec![b"PING".to_vec()]]).await
    }

    /// Authenticates. If the role of the server matters, checks that it is the primary.
    async fn greet(&mut self, address: &Address, is_single: bool) -> Result<(), ClientError> {
        let commands = match is_single {
            true => auth_resp2(address).into_iter().collect(),
            false => hello_resp2(address),
        };
        self.send(&commands).await?;
        let mut replies = Vec::with_capacity(commands.len());
        while replies.len() < commands.len() {
            match self.event().await? {
                Event::Other(reply) => replies.push(reply),
                _ => return Err(ClientError::Protocol("a message without subscription".into())),
            }
        }
        match refusal_resp2(address, &replies) {
            None => Ok(()),
            Some(reason) => Err(ClientError::refused(address, reason)),
        }
    }

    async fn subscribe(
        &mut self,
        address: &Address,
        channels: &[String],
    ) -> Result<(), ClientError> {
        let words = std::iter::once("SUBSCRIBE").chain(channels.iter().map(String::as_str));
        self.send(&[words.map(|word| word.as_bytes().to_vec()).collect()]).await?;
        // The server confirms all channels before it sends a message.
        for _ in channels {
            match self.event().await? {
                Event::Subscribed => {}
                Event::Other(Reply::One(Scalar::Error(text))) => {
                    // The server does not say which channel the user may not subscribe to.
                    let channels = channels.join(" ");
                    let text = without_password(address, &text);
                    let text = format!("SUBSCRIBE {channels}: {text}");
                    return Err(ClientError::refused(address, Refusal::Other(text)));
                }
                _ => return Err(ClientError::Protocol("no confirmation of SUBSCRIBE".into())),
            }
        }
        Ok(())
    }

    /// The next event. The caller limits the time.
    async fn event(&mut self) -> Result<Event, ClientError> {
        loop {
            match self.decoded()? {
                Some(event) => return Ok(event),
                None => self.read().await?,
            }
        }
    }

    fn decoded(&mut self) -> Result<Option<Event>, ClientError> {
        self.decoder.next().map_err(|error| ClientError::Protocol(error.to_string()))
    }

    async fn read(&mut self) -> Result<(), ClientError> {
        let interrupted = |text: String| Err(ClientError::Interrupted(text));
        match self.stream.read(&mut self.buffer).await {
            Ok(0) => interrupted("the server has closed the connection".into()),
            Ok(length) => {
                self.decoder.feed(self.buffer.get(..length).unwrap_or_default());
                Ok(())
            }
            Err(error) => interrupted(error.to_string()),
        }
    }

    async fn send(&mut self, commands: &[Vec<Vec<u8>>]) -> Result<(), ClientError> {
        let bytes = encode(commands);
        let sending = async {
            self.stream.write_all(&bytes).await?;
            self.stream.flush().await
        };
        let sent = timeout(PING_LIMIT, sending).await.unwrap_or_else(|_| {
            Err(std::io::Error::other(format!("nothing can be sent for {PING_LIMIT:?}")))
        });
        sent.map_err(|error| ClientError::Interrupted(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_is_asked_and_given_up_after_the_limit() {
        let (mut server, stream) = duplex(1 << 10);
        let mut subscriber = Subscriber::new(Box::new(stream), 100);
        let serve = async {
            let ping = b"*1\r\n$4\r\nPING\r\n";
            let mut received = vec![0; ping.len()];
            server.read_exact(&mut received).await.unwrap();
            assert_eq!(received, ping);
            server.write_all(b"*2\r\n$4\r\npong\r\n$0\r\n\r\n").await.unwrap();
            server.read_exact(&mut received).await.unwrap();
            assert_eq!(received, ping, "after another interval");
            let message = b"*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nx\r\n";
            server.write_all(message).await.unwrap();
        };
        let ((), received) = tokio::join!(serve, subscriber.next());
        let expected = Received { channel: b"a".into(), payload: Ok(b"x".into()) };
        assert_eq!(received.unwrap(), expected);
        let begun = tokio::time::Instant::now();
        let lost = subscriber.next().await.unwrap_err();
        assert!(lost.to_string().contains("has not answered"), "{lost}");
        assert_eq!(begun.elapsed(), PING_INTERVAL + PING_LIMIT);
    }
}
