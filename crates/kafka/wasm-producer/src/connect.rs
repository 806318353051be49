//! Opens connections to brokers.

use std::time::Duration;

use crate::connection::Connection;
use crate::network::{Network, within};
use crate::sasl::authenticate;
use crate::{Address, Config, ConnectError};

/// Maximum time for connecting, the version request and authentication.
const OPEN_LIMIT: Duration = Duration::from_secs(2);

/// Connects, requests the supported versions, and authenticates.
pub async fn connect<N: Network>(
    network: &N,
    address: &Address,
    config: &Config,
) -> Result<Connection<N::Stream>, ConnectError> {
    let opening = async {
        let stream = network.connect(address).await?;
        let now = network.now();
        let mut connection = Connection::new(address.clone(), stream, &config.client_id, now);
        connection.request_versions().await?;
        if let Some(sasl) = &config.sasl {
            let lifetime = authenticate(&mut connection, sasl, network).await?;
            connection.expires = lifetime.map(|lifetime| network.now() + lifetime);
        }
        Ok(connection)
    };
    within(network, OPEN_LIMIT, opening).await.unwrap_or_else(|| {
        Err(ConnectError::Unreachable(format!("{address}: no answer in {OPEN_LIMIT:?}")))
    })
}
