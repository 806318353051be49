//! A connection to a broker: authentication, then one request at a time.

use std::time::Duration;

use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;

use crate::network::{Network, Stream, within};
use crate::verdict::words;
use crate::wire::{self, Speak, Spoken};
use crate::{Address, Config, ConnectError, sasl};

/// Maximum time for connecting, the version request and authentication.
pub const OPEN_LIMIT: Duration = Duration::from_secs(2);

/// An open connection. If a request was not answered, the connection is broken and must be dropped.
pub struct Connection<S> {
    /// The address of the broker.
    pub address: Address,
    stream: S,
    /// The request versions that the broker supports; empty until it has reported them.
    versions: Vec<ApiVersion>,
    client: StrBytes,
    correlation: i32,
    received: Vec<u8>,
    used: Duration,
    /// When the session must be authenticated again; None if it does not expire.
    pub expires: Option<Duration>,
}

impl<S: Stream> Connection<S> {
    /// Connects, requests the supported versions, and authenticates.
    pub async fn open<N: Network<Stream = S>>(
        network: &N,
        address: &Address,
        config: &Config,
    ) -> Result<Self, ConnectError> {
        let opening = async {
            let mut connection = Self {
                address: address.clone(),
                stream: network.connect(address).await?,
                versions: Vec::new(),
                client: StrBytes::from_string(config.client_id.clone()),
                correlation: 0,
                received: Vec::new(),
                used: network.now(),
                expires: None,
            };
            connection.learn_versions().await.map_err(|text| connection.broken(&text))?;
            if let Some(sasl) = &config.sasl {
                let lifetime = sasl::authenticate(&mut connection, sasl, network).await?;
                connection.expires = lifetime.map(|lifetime| network.now() + lifetime);
            }
            Ok(connection)
        };
        within(network, OPEN_LIMIT, opening).await.unwrap_or_else(|| {
            Err(ConnectError::Unreachable(format!("{address}: no answer in {OPEN_LIMIT:?}")))
        })
    }

    async fn learn_versions(&mut self) -> Result<(), String> {
        let spoken = ApiVersionsRequest::SPOKEN.first().copied().ok_or_else(unknown)?;
        let request = ApiVersionsRequest::default();
        let answer: ApiVersionsResponse = self.exchange_as(&request, spoken).await?;
        if answer.error_code != 0 {
            return Err(words(answer.error_code));
        }
        self.versions = answer.api_keys;
        Ok(())
    }

    /// Sends one request and waits for its response.
    pub async fn exchange<R: Speak>(&mut self, request: &R) -> Result<R::Response, ConnectError> {
        let known = self.versions.iter().find(|known| known.api_key == R::KEY as i16);
        let spoken = known.and_then(|known| {
            let range = known.min_version..=known.max_version;
            R::SPOKEN.iter().copied().find(|(version, _)| range.contains(version))
        });
        let exchanged = match spoken {
            Some(spoken) => self.exchange_as(request, spoken).await,
            None => Err(unknown()),
        };
        exchanged.map_err(|text| self.broken(&text))
    }

    async fn exchange_as<R: Speak>(
        &mut self,
        request: &R,
        spoken: Spoken,
    ) -> Result<R::Response, String> {
        self.correlation = self.correlation.wrapping_add(1);
        let frame = wire::encode(request, spoken.0, self.correlation, &self.client)?;
        self.stream.write(frame).await?;
        self.received.clear();
        let length = loop {
            match wire::frame_length(&self.received)? {
                Some(length) if length <= self.received.len() => break length,
                _ => self.stream.read(&mut self.received).await?,
            }
        };
        if length < self.received.len() {
            return Err("the broker answers what was not asked".into());
        }
        wire::decode::<R>(&self.received, spoken, self.correlation)
    }

    /// An error that names this connection.
    pub fn broken(&self, text: &str) -> ConnectError {
        ConnectError::Unreachable(format!("{}: {text}", self.address))
    }

    /// Marks the connection as idle since now.
    pub fn rest(&mut self, now: Duration) {
        self.used = now;
    }

    /// Whether the connection may be used again: it was not idle for too long and its session has
    /// not expired.
    pub fn is_fresh(&self, now: Duration, idle: Duration) -> bool {
        now.saturating_sub(self.used) < idle && self.expires.is_none_or(|expires| now < expires)
    }
}

fn unknown() -> String {
    "the broker speaks no version of a request that is spoken here".into()
}
