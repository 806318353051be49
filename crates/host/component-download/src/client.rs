//! The HTTP client for downloads.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use url::Url;

use crate::Error;

/// How long connecting to a server may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may be silent.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that follows up to ten redirections, and uses the proxy that the environment names.
pub struct Client(reqwest::Client);

impl Client {
    pub fn new() -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .user_agent(concat!("doorbuster/", env!("CARGO_PKG_VERSION")))
            .build();
        client.map(Self).map_err(Error::Client)
    }

    /// The content at a URL, which may have this number of bytes.
    pub async fn get(&self, url: &Url, bytes_max: usize) -> Result<Bytes, Error> {
        let failed = |error: reqwest::Error| Error::Connection {
            url: url.to_string(),
            source: error.without_url(),
        };
        let mut response = self.0.get(url.as_str()).send().await.map_err(failed)?;
        let status = response.status();
        if !status.is_success() {
            return Err(Error::Status { url: url.to_string(), status: status.as_u16() });
        }
        let mut content = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if content.len() + chunk.len() > bytes_max {
                return Err(Error::TooLarge { url: url.to_string(), limit: bytes_max });
            }
            content.extend_from_slice(&chunk);
        }
        Ok(content.freeze())
    }
}
