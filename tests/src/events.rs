//! Server-sent events, as they come.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// An open stream of events.
pub struct Events {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's headers.
    pub headers: HeaderMap,
    body: Incoming,
    unread: Vec<u8>,
    // Last: without it the connection ends.
    _pool: Pool<HttpConnector, Empty<Bytes>>,
}

/// One event.
#[derive(Debug)]
pub struct Event {
    /// Its name.
    pub name: String,
    /// Its data.
    pub data: Value,
}

impl Events {
    /// Requests the events at this URL.
    pub async fn open(url: &str) -> Result<Self> {
        let pool = Pool::builder(TokioExecutor::new()).build_http();
        let response = pool.request(Request::get(url).body(Empty::new())?).await?;
        let (head, body) = response.into_parts();
        let (status, headers) = (head.status, head.headers);
        Ok(Self { status, headers, body, unread: Vec::new(), _pool: pool })
    }

    /// The next event; none at the end of the stream.
    pub async fn next(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some(end) = self.unread.windows(2).position(|two| two == b"\n\n") {
                let block: Vec<u8> = self.unread.drain(..end + 2).collect();
                if let Some(event) = event(std::str::from_utf8(&block)?)? {
                    return Ok(Some(event));
                }
                continue;
            }
            match self.body.frame().await.transpose()? {
                Some(frame) => self.unread.extend(frame.into_data().unwrap_or_default()),
                None => return Ok(None),
            }
        }
    }

    /// The next event of this name; fails at the end of the stream.
    pub async fn next_of(&mut self, name: &str) -> Result<Value> {
        loop {
            let event = self.next().await?.with_context(|| format!("no event `{name}`"))?;
            if event.name == name {
                return Ok(event.data);
            }
        }
    }
}

/// The event of a block; none if the block has no data.
fn event(block: &str) -> Result<Option<Event>> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let Some(data) = field("data: ") else { return Ok(None) };
    let name = field("event: ").unwrap_or("message").to_owned();
    Ok(Some(Event { name, data: serde_json::from_str(data)? }))
}
