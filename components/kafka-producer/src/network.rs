//! Sockets, clocks and wake-ups of WASI 0.3.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guest_tasks::{Wake, wake_up};
use guest_tcp::Connection;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::random::random::get_random_u64;
use wasm_producer::{Address, ConnectError, Network, Stream};

/// Number of bytes that are requested from the socket at once.
const READ_BYTES: usize = 16 << 10;

/// The network and clocks of WASI.
pub struct Sockets;

impl Network for Sockets {
    type Stream = Socket;
    type Wake = Wake;

    fn wake_up(&self) -> (Wake, impl Future<Output = ()>) {
        wake_up()
    }

    async fn connect(&self, address: &Address) -> Result<Socket, ConnectError> {
        match Connection::open(&address.host, address.port).await {
            Ok(connection) => Ok(Socket { connection }),
            Err(guest_tcp::Error::Denied(text)) => Err(ConnectError::Refused(text)),
            Err(error) => Err(ConnectError::Unreachable(error.to_string())),
        }
    }

    async fn sleep(&self, time: Duration) {
        spin_sdk::time::sleep(time).await;
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn unix_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
    }

    fn random(&self) -> u64 {
        get_random_u64()
    }
}

/// A connection to a broker.
pub struct Socket {
    connection: Connection,
}

impl Stream for Socket {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.connection.write(bytes).await.map_err(|error| error.to_string())
    }

    async fn read(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let mut buffer = std::mem::take(bytes);
        buffer.reserve(READ_BYTES);
        let (result, buffer) = self.connection.read(buffer).await;
        *bytes = buffer;
        result.map(drop).map_err(|error| error.to_string())
    }
}
