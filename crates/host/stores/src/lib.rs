//! Provides Spin's interfaces for databases and stores to components of the host, with pools and
//! limits ([`limits`]). Which addresses a component may connect to is decided by
//! `allowed_outbound_hosts`, as in Spin.

pub mod limits;
pub mod postgres;
pub mod redis;

use std::sync::Arc;

use component_host::Capability;

pub use postgres::PostgresProvider;
pub use redis::RedisProvider;

/// The settings.
#[derive(Debug, Clone)]
pub struct StoresConfig {
    /// The connections to one database of PostgreSQL at once.
    pub postgres_connections_max: usize,
}

impl Default for StoresConfig {
    fn default() -> Self {
        Self { postgres_connections_max: limits::CONNECTIONS_MAX }
    }
}

/// All interfaces.
pub fn capabilities(config: &StoresConfig) -> Vec<Arc<dyn Capability>> {
    vec![
        Arc::new(PostgresProvider::new(config.postgres_connections_max)),
        Arc::new(RedisProvider::default()),
    ]
}
