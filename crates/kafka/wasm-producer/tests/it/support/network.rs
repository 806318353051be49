//! Connections and clocks of tokio.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use wasm_producer::{Address, ConnectError, Network, Stream};

/// The network of this machine.
pub struct Tcp;

impl Network for Tcp {
    type Stream = Connected;
    type Wake = oneshot::Sender<()>;

    fn wake_up(&self) -> (Self::Wake, impl Future<Output = ()>) {
        let (wake, wait) = oneshot::channel();
        (wake, async { drop(wait.await) })
    }

    async fn connect(&self, address: &Address) -> Result<Connected, ConnectError> {
        let connected = TcpStream::connect((address.host.as_str(), address.port)).await;
        connected
            .map(Connected)
            .map_err(|error| ConnectError::Unreachable(format!("{address}: {error}")))
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    fn now(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    fn unix_ms(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(now.as_millis()).unwrap()
    }

    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}

pub struct Connected(TcpStream);

impl Stream for Connected {
    async fn write(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        self.0.write_all(&bytes).await.map_err(|error| error.to_string())
    }

    async fn read(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        match self.0.read_buf(bytes).await {
            Ok(0) => Err("the broker closed the connection".into()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}
