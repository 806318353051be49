//! An open connection.

use spin_sdk::wasip3::sockets::types::TcpSocket;
use spin_sdk::wasip3::wit_stream;
use spin_sdk::wit_bindgen::{StreamReader, StreamResult, StreamWriter};

use crate::{Error, dial};

/// An open connection. It belongs to no call: one may open it and another use it, one after
/// the other. Drop it when a call was dropped that was using it.
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
        // How sending and receiving end is seen where they are used; the futures that tell it
        // again need not be watched.
        drop(socket.send(outgoing));
        let (reader, _) = socket.receive();
        Ok(Self { writer, reader, _socket: socket })
    }

    /// Sends all of the bytes.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), Error> {
        let unsent = self.writer.write_all(bytes).await;
        if unsent.is_empty() { Ok(()) } else { Err(Error::Closed) }
    }

    /// Waits for bytes and appends them: as many as have come and the buffer has room for. It
    /// must have room.
    pub async fn read(&mut self, buffer: Vec<u8>) -> (Result<usize, Error>, Vec<u8>) {
        let (result, buffer) = self.reader.read(buffer).await;
        match result {
            StreamResult::Complete(count) => (Ok(count), buffer),
            StreamResult::Dropped | StreamResult::Cancelled => (Err(Error::Closed), buffer),
        }
    }
}
