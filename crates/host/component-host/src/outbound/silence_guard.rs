//! Takes a connection out of its pool if a request on it gets no answer.

use std::time::{Duration, Instant};

use ::http::Request;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::sync::OwnedSemaphorePermit;

/// If a request is dropped after this time without a byte from the peer, its connection is not used
/// again. If it is dropped sooner, the reason is another one, such as a client that went away.
const SILENCE_MIN: Duration = Duration::from_secs(1);

/// Watches the connection of one request. If the peer has sent nothing for some time when this is
/// dropped, the connection leaves its pool: otherwise HTTP/2 would send the next request over it.
/// Other requests in progress on it continue.
#[must_use = "dropped, it may take the connection out of its pool"]
pub(crate) struct SilenceGuard {
    /// `None` for a request without a connection.
    connection: Option<CaptureConnection>,
    last_received: Instant,
    /// Counts the request among the outgoing ones.
    _permit: Option<OwnedSemaphorePermit>,
}

impl SilenceGuard {
    /// Captures the connection over which this request will be sent.
    pub fn new<B>(request: &mut Request<B>, permit: OwnedSemaphorePermit) -> Self {
        let connection = Some(capture_connection(request));
        Self { connection, last_received: Instant::now(), _permit: Some(permit) }
    }

    /// For a request without a connection.
    pub fn none() -> Self {
        Self { connection: None, last_received: Instant::now(), _permit: None }
    }

    /// The peer sent something.
    pub fn received(&mut self) {
        self.last_received = Instant::now();
    }
}

impl Drop for SilenceGuard {
    fn drop(&mut self) {
        let is_silent = self.last_received.elapsed() >= SILENCE_MIN;
        if let Some(connection) = self.connection.take().filter(|_| is_silent)
            && let Some(connected) = connection.connection_metadata().as_ref()
        {
            connected.poison();
        }
    }
}
