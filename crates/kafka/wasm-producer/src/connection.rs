//! A connection to a broker, with one request at a time.

use std::time::Duration;

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::network::Stream;
use crate::outcome::error_text;
use crate::wire::{self, Request, RequestVersion};
use crate::{Address, ConnectError};

/// An open connection. If a request was not answered, the connection is broken and must be dropped.
pub struct Connection<S> {
    /// The address of the broker.
    pub address: Address,
    stream: S,
    /// The request versions that the broker supports; empty until it has reported them.
    versions: Vec<ApiVersion>,
    client_id: StrBytes,
    correlation: i32,
    received: Vec<u8>,
    idle_since: Duration,
    /// When the session must be authenticated again; None if it does not expire.
    pub expires: Option<Duration>,
}

impl<S: Stream> Connection<S> {
    /// A connection on this stream. The broker's versions are not known yet.
    pub fn new(address: Address, stream: S, client_id: &str, now: Duration) -> Self {
        Self {
            address,
            stream,
            versions: Vec::new(),
            client_id: StrBytes::from_string(client_id.into()),
            correlation: 0,
            received: Vec::new(),
            idle_since: now,
            expires: None,
        }
    }

    /// Requests the versions that the broker supports. Must be called before `exchange`.
    pub async fn request_versions(&mut self) -> Result<(), ConnectError> {
        self.fetch_versions().await.map_err(|text| self.broken(&text))
    }

    async fn fetch_versions(&mut self) -> Result<(), String> {
        let version = ApiVersionsRequest::VERSIONS.first().copied();
        let version = version.ok_or_else(no_common_version)?;
        let request = ApiVersionsRequest::default();
        let response: ApiVersionsResponse = self.exchange_as(&request, version).await?;
        if response.error_code != 0 {
            return Err(error_text(response.error_code));
        }
        self.versions = response.api_keys;
        Ok(())
    }

    /// Sends one request and waits for its response.
    pub async fn exchange<R: Request>(&mut self, request: &R) -> Result<R::Response, ConnectError> {
        let supported = self.versions.iter().find(|range| range.api_key == R::KEY as i16);
        let version = supported.and_then(|supported| {
            let range = supported.min_version..=supported.max_version;
            R::VERSIONS.iter().copied().find(|(version, _)| range.contains(version))
        });
        let response = match version {
            Some(version) => self.exchange_as(request, version).await,
            None => Err(no_common_version()),
        };
        response.map_err(|text| self.broken(&text))
    }

    async fn exchange_as<R: Request>(
        &mut self,
        request: &R,
        version: RequestVersion,
    ) -> Result<R::Response, String> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = wire::encode(request, version.0, self.correlation, &self.client_id)?;
        self.stream.write(frame).await?;
        self.received.clear();
        let length = loop {
            match wire::frame_length(&self.received)? {
                Some(length) if length <= self.received.len() => break length,
                _ => self.stream.read(&mut self.received).await?,
            }
        };
        if length < self.received.len() {
            return Err("the broker sent more than the response to the request".into());
        }
        wire::decode::<R>(&self.received, version, self.correlation)
    }

    /// An error that names this connection.
    pub fn broken(&self, text: &str) -> ConnectError {
        ConnectError::Unreachable(format!("{}: {text}", self.address))
    }

    /// Marks the connection as idle.
    pub fn set_idle_since(&mut self, now: Duration) {
        self.idle_since = now;
    }

    /// Whether the connection may be used again: it was not idle for too long and its session has
    /// not expired.
    pub fn is_fresh(&self, now: Duration, idle: Duration) -> bool {
        now.saturating_sub(self.idle_since) < idle
            && self.expires.is_none_or(|expires| now < expires)
    }
}

fn no_common_version() -> String {
    "the broker supports none of the versions of a request that this producer can send".into()
}
