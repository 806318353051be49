//! A connection that is not used again if its request gets no answer.

use std::time::{Duration, Instant};

use ::http::Request;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use tokio::sync::OwnedSemaphorePermit;

/// A request that is given up after this time without a byte from the peer makes its connection
/// suspect. One that is given up sooner has another reason, such as a client that went away.
const PATIENCE: Duration = Duration::from_secs(1);

/// The connection of one request. If the peer has sent nothing for some time when this is dropped,
/// the connection leaves its pool: HTTP/2 would otherwise send the next request over it. Requests
/// under way on it go on.
#[must_use = "dropped, it may take the connection out of its pool"]
pub(crate) struct Suspect {
    /// None for a request that goes over no connection.
    connection: Option<CaptureConnection>,
    since: Instant,
    /// Its place among the outgoing requests.
    _place: Option<OwnedSemaphorePermit>,
}

impl Suspect {
    /// The connection that this request, which has this place, will go over.
    pub fn of<B>(request: &mut Request<B>, place: OwnedSemaphorePermit) -> Self {
        let connection = Some(capture_connection(request));
        Self { connection, since: Instant::now(), _place: Some(place) }
    }

    /// For a request that goes over no connection.
    pub fn none() -> Self {
        Self { connection: None, since: Instant::now(), _place: None }
    }

    /// The peer sent something.
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
