//! One connection, on which commands are written and then their replies are read.

use guest_tasks::within;
use guest_tcp::Error;
use valkey_codec::{
    Address, CONNECT_LIMIT, ClientError, Decoder, REPLIES_BYTES_MAX, Refusal, Reply, encode, hello,
    hello_resp2, is_hello_unsupported, refusal, refusal_resp2,
};

/// Number of bytes that are requested from the socket at once.
const READ_BYTES: usize = 64 << 10;

/// An open connection.
pub struct Connection {
    tcp: guest_tcp::Connection,
    decoder: Decoder,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects, authenticates, and selects the database. Fails if the server is not the primary.
    pub async fn open(address: &Address) -> Result<Self, ClientError> {
        let opening = async {
            let tcp = guest_tcp::Connection::open(&address.host, address.port).await;
            let mut connection = Self {
                tcp: tcp.map_err(|e| ClientError::Connect(e.to_string()))?,
                decoder: Decoder::default(),
                buffer: Vec::with_capacity(READ_BYTES),
            };
            match connection.handshake(address).await? {
                None => Ok(connection),
                Some(reason) => Err(ClientError::refused(address, reason)),
            }
        };
        match within(CONNECT_LIMIT, opening).await {
            Some(result) => result.map_err(|error| error.while_opening(address)),
            None => Err(ClientError::no_answer(address)),
        }
    }

    /// Whether there are no received bytes beyond the expected replies.
    pub fn has_no_pending_bytes(&self) -> bool {
        self.decoder.pending() == 0
    }

    /// Sends the first commands. Returns why the connection cannot be used; None if it can.
    async fn handshake(&mut self, address: &Address) -> Result<Option<Refusal>, ClientError> {
        let commands = hello(address);
        self.send(encode(&commands)).await?;
        let mut replies = self.replies(1).await?;
        let rest = commands.len().saturating_sub(1);
        if replies.first().is_some_and(|reply| is_hello_unsupported(address, reply)) {
            // Reads the replies to the commands that were sent together with HELLO. All are errors,
            // because the connection is not authenticated yet.
            self.replies(rest).await?;
            return self.handshake_resp2(address).await;
        }
        if refusal(address, &replies).is_none() {
            replies.extend(self.replies(rest).await?);
        }
        Ok(refusal(address, &replies))
    }

    /// The same for a server that does not support HELLO.
    async fn handshake_resp2(&mut self, address: &Address) -> Result<Option<Refusal>, ClientError> {
        self.decoder.expect_resp2();
        let commands = hello_resp2(address);
        self.send(encode(&commands)).await?;
        let replies = self.replies(commands.len()).await?;
        Ok(refusal_resp2(address, &replies))
    }

    /// Sends encoded commands.
    pub async fn send(&mut self, commands: Vec<u8>) -> Result<(), ClientError> {
        self.tcp.write(commands).await.map_err(interrupted)
    }

    /// Waits for the replies to `count` commands.
    pub async fn replies(&mut self, count: usize) -> Result<Vec<Reply>, ClientError> {
        let mut replies = Vec::with_capacity(count);
        let mut received = 0;
        while replies.len() < count {
            match self.decoder.next().map_err(protocol)? {
                Some(reply) => replies.push(reply),
                None => received += self.receive().await?,
            }
            if received > REPLIES_BYTES_MAX {
                return Err(ClientError::replies_too_long());
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

/// The error for replies that cannot be decoded.
fn protocol(error: impl std::fmt::Display) -> ClientError {
    ClientError::Protocol(error.to_string())
}

fn interrupted(error: Error) -> ClientError {
    ClientError::Interrupted(error.to_string())
}
