//! Takes a connection out of its pool if a request on it gets no answer.

use std::time::{Duration, Instant};

use ::http::Request;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::sync::OwnedSemaphorePermit;

/// A request that is dropped after this time without a byte from the peer makes its connection
/// suspect. If it is dropped sooner, the reason is another one, such as a client that went away.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connection of one request. If the peer has sent nothing for some time when this is dropped,
/// the connection leaves its pool: otherwise HTTP/2 would send the next request over it. Other
/// requests in progress on it continue.
#[must_use = "dropped, it may take the connection out of its pool"]
pub(crate) struct Suspect {
    /// `None` for a request without a connection.
    connection: Option<CaptureConnection>,
    since: Instant,
    /// Its permit among the outgoing requests.
    _place: Option<OwnedSemaphorePermit>,
}

impl Suspect {
    /// Captures the connection over which this request, which has this permit, will be sent.
    pub fn of<B>(request: &mut Request<B>, place: OwnedSemaphorePermit) -> Self {
        let connection = Some(capture_connection(request));
        Self { connection, since: Instant::now(), _place: Some(place) }
    }

    /// For a request without a connection.
    pub fn none() -> Self {
        Self { connection: None, since: Instant::now(), _place: None }
    }

    /// Notes that the peer sent something.
    pub fn heard(&mut self) {
        self.since = Instant::now();
    }
}

impl Drop for Suspect {
    fn drop(&mut self) {
        let late = self.since.elapsed() >= PATIENCE;
        if let Some(connection) = self.connection.take().filter(|_| late)
            && let Some(connected) = connection.connection_metadata().as_ref()
        {
            connected.poison();
        }
    }
}
