//! Provides Spin's interfaces for databases and stores to components of the host, with pools and
//! limits ([`limits`]). Which addresses a component may connect to is decided by
//! `allowed_outbound_hosts`, as in Spin.

mod clients;
pub mod key_value;
pub mod limits;
pub mod postgres;
pub mod redis;
mod reply;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use component_host::Capability;

pub use key_value::KeyValueProvider;
pub use postgres::PostgresProvider;
pub use redis::RedisProvider;

/// The settings.
#[derive(Clone)]
pub struct StoresConfig {
    /// The connections to one database of PostgreSQL at once.
    pub postgres_connections_max: usize,
    /// How long a statement of PostgreSQL may take; see [`limits::STATEMENT_LIMIT`].
    pub postgres_statement_limit: Duration,
    /// The URL of the server of each key-value store, by label; an error says why the store cannot be
    /// used.
    pub key_value: BTreeMap<String, Result<String, String>>,
}

impl Default for StoresConfig {
    fn default() -> Self {
        Self {
            postgres_connections_max: limits::CONNECTIONS_MAX,
            postgres_statement_limit: limits::STATEMENT_LIMIT,
            key_value: BTreeMap::new(),
        }
    }
}

/// All interfaces.
pub fn capabilities(config: &StoresConfig) -> Vec<Arc<dyn Capability>> {
    vec![
        Arc::new(PostgresProvider::new(config)),
        Arc::new(RedisProvider::default()),
        Arc::new(KeyValueProvider::new(config.key_value.clone())),
    ]
}
