//! The producer's settings and limits.

use std::time::Duration;

use amqp_client::{Address, AddressError};

/// The longest name of an exchange or a routing key in AMQP, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 255;

/// Where records are published, and the limits of the producer.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Config {
    /// The broker.
    pub address: Address,
    /// The exchange, for which the topic of a record is the routing key. It must exist. If it is
    /// empty, it is the default exchange, which routes to the queue whose name is the topic.
    pub exchange: String,
    /// How long a record may wait for its confirm.
    pub delivery_timeout: Duration,
    /// How long a record may wait while the broker cannot be reached.
    pub unreachable_timeout: Duration,
    /// Maximum number of records that wait; more fail at once.
    pub queue_records_max: u32,
    /// Maximum size of the records that wait; more fail at once.
    pub queue_bytes_max: u32,
    /// Maximum size of a record. It must not be above `max_message_size` of the broker, which closes
    /// the channel of a larger message.
    pub record_bytes_max: usize,
    /// Maximum number of channels, and so of calls whose records are being published at the same
    /// time. Others wait.
    pub channels_max: u16,
}

/// Why the settings are invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The address is invalid.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The name of the exchange is too long.
    #[error("must not have more than 255 bytes")]
    Exchange,
}

impl Config {
    /// The settings for the broker at this URL. `authorities` are certificates (PEM) that may have
    /// signed that of the broker, in addition to those of the system.
    pub fn new(
        url: &str,
        authorities: Option<String>,
        exchange: impl Into<String>,
    ) -> Result<Self, ConfigError> {
        let exchange = exchange.into();
        if exchange.len() > NAME_BYTES_MAX {
            return Err(ConfigError::Exchange);
        }
        Ok(Self {
            address: Address::new(url, authorities)?,
            exchange,
            delivery_timeout: Duration::from_secs(10),
            unreachable_timeout: Duration::from_secs(2),
            queue_records_max: 100_000,
            queue_bytes_max: 64 * 1024 * 1024,
            record_bytes_max: 8 * 1024 * 1024,
            channels_max: 256,
        })
    }
}
