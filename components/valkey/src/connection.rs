//! One connection: a write of a pipeline, then its replies.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use guest_tcp::Error;
use valkey_codec::{Address, Decoder, Refusal, Reply, encode, hello, refusal};

use crate::bindings::exports::doorbuster::valkey::client::{ClientError, Command};

/// Bytes asked of the socket at once.
const READ_BYTES: usize = 64 << 10;

/// Longest reply to a whole pipeline; more breaks the connection.
const REPLIES_BYTES_MAX: usize = 16 << 20;

/// Time to connect and say hello.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Time a pipeline may take.
const EXCHANGE_LIMIT: Duration = Duration::from_secs(30);

/// An open connection.
pub struct Connection {
    tcp: guest_tcp::Connection,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects, says who speaks, selects the database.
    pub async fn open(address: &Address) -> Result<Self, ClientError> {
        let opening = async {
            let tcp = guest_tcp::Connection::open(&address.host, address.port).await;
            let mut connection = Self {
                tcp: tcp.map_err(|e| ClientError::Connect(e.to_string()))?,
                decoder: Decoder::default(),
                buffer: Vec::with_capacity(READ_BYTES),
            };
            let replies = connection.pipeline(&hello(address)).await?;
            match refusal(&replies) {
                None => Ok(connection),
                Some(Refusal::Credentials(text)) => Err(ClientError::Auth(text)),
                Some(Refusal::Other(text)) => Err(ClientError::Connect(text)),
            }
        };
        let (host, port) = (&address.host, address.port);
        match within(CONNECT_LIMIT, opening).await {
            // No command of a caller was under way.
            Some(Err(ClientError::Interrupted(text))) => {
                Err(ClientError::Connect(format!("{host}:{port}: {text}")))
            }
            Some(result) => result,
            None => {
                let text = format!("{host}:{port}: no answer in {CONNECT_LIMIT:?}");
                Err(ClientError::Connect(text))
            }
        }
    }

    /// One round trip.
    pub async fn exchange(&mut self, commands: &[Command]) -> Result<Vec<Reply>, ClientError> {
        within(EXCHANGE_LIMIT, self.pipeline(commands)).await.unwrap_or_else(|| {
            Err(ClientError::Interrupted(format!("no reply in {EXCHANGE_LIMIT:?}")))
        })
    }

    /// Whether the server has sent what was asked for and nothing more.
    pub fn is_at_rest(&self) -> bool {
        self.decoder.pending() == 0
    }

    async fn pipeline(&mut self, commands: &[Command]) -> Result<Vec<Reply>, ClientError> {
        let bytes = encode(commands).map_err(|e| ClientError::Protocol(e.to_string()))?;
        self.tcp.write(bytes).await.map_err(interrupted)?;
        let mut replies = Vec::with_capacity(commands.len());
        let mut received = 0;
        while replies.len() < commands.len() {
            match self.decoder.next().map_err(|e| ClientError::Protocol(e.to_string()))? {
                Some(reply) => replies.push(reply),
                None => received += self.receive().await?,
            }
            if received > REPLIES_BYTES_MAX {
                let text = format!("the replies are longer than {REPLIES_BYTES_MAX} bytes");
                return Err(ClientError::Interrupted(text));
            }
        }
        Ok(replies)
    }

    async fn receive(&mut self) -> Result<usize, ClientError> {
        let buffer = std::mem::take(&mut self.buffer);
        let (result, buffer) = self.tcp.read(buffer).await;
        self.decoder.feed(&buffer);
        self.buffer = buffer;
        self.buffer.clear();
        result.map_err(interrupted)
    }
}

fn interrupted(error: Error) -> ClientError {
    ClientError::Interrupted(error.to_string())
}

/// Waits for `work`, but no longer than `limit`.
async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut limit = pin!(spin_sdk::time::sleep(limit));
    std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => limit.as_mut().poll(cx).map(|()| None),
    })
    .await
}
