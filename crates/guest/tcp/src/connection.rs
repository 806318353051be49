//! An open connection.

use spin_sdk::wasip3::sockets::types::TcpSocket;
use spin_sdk::wasip3::wit_stream;
use spin_sdk::wit_bindgen::{StreamReader, StreamResult, StreamWriter};

use crate::{Error, dial};

/// An open connection. It does not belong to a call: different calls may use it one after the
/// other. If a call is cancelled while it uses the connection, drop the connection.
pub struct Connection {
    writer: StreamWriter<u8>,
    reader: StreamReader<u8>,
    _socket: TcpSocket,
}

impl Connection {
    /// Connects to the first of the host's addresses that answers.
    pub async fn open(host: &str, port: u16) -> Result<Self, Error> {
        let socket = dial(host, port).await?;
        let (writer, outgoing) = wit_stream::new();
        // The end of sending and receiving is visible in the streams, so the futures that also
        // report it are not needed.
        drop(socket.send(outgoing));
        let (reader, _) = socket.receive();
        Ok(Self { writer, reader, _socket: socket })
    }

    /// Sends all of the bytes.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let unsent = self.writer.write_all(bytes).await;
        if unsent.is_empty() { Ok(()) } else { Err(Error::Closed) }
    }

    /// Waits for bytes, and appends as many as were received and fit into the capacity of `buffer`,
    /// which must have room. Returns their number, and the buffer.
    pub async fn read(&mut self, buffer: Vec<u8>) -> (Result<usize, Error>, Vec<u8>) {
        let (result, buffer) = self.reader.read(buffer).await;
        match result {
            StreamResult::Complete(count) => (Ok(count), buffer),
            StreamResult::Dropped | StreamResult::Cancelled => (Err(Error::Closed), buffer),
        }
    }
}
