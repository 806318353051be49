//! The pools of connections, one for each address.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;
use tokio_postgres::Config;

use super::address::servers;
use super::bindings::v4::Error;
use super::error::connection_failed;
use super::session::Session;
use crate::limits::{CONNECT_LIMIT, CONNECTIONS_MAX, DATABASES_MAX, IDLE_LIMIT, WAIT_LIMIT};

/// How often idle connections are closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The pools of all components. Components with the same address, which contains the user and its
/// password, share a pool.
pub(super) struct Pools {
    connections_max: usize,
    state: Mutex<State>,
}

struct State {
    pools: HashMap<Key, Entry>,
    swept: Instant,
}

#[derive(Clone)]
struct Entry {
    pool: Pool,
    tls: MakeTlsConnector,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    address: String,
    /// The certificate of an authority, as PEM.
    authority: Option<String>,
}

impl Default for Pools {
    fn default() -> Self {
        Self::new(CONNECTIONS_MAX)
    }
}

impl Pools {
    pub fn new(connections_max: usize) -> Self {
        let state = State { pools: HashMap::new(), swept: Instant::now() };
        Self { connections_max, state: Mutex::new(state) }
    }

    /// A connection to this address, whose parsed and checked form is `config`.
    pub async fn open(
        &self,
        address: String,
        authority: Option<String>,
        config: Config,
    ) -> Result<Session, Error> {
        let servers = servers(&config);
        let Entry { pool, tls } = self.pool(Key { address, authority }, config)?;
        let client = pool.get().await;
        let client =
            client.map_err(|error| connection_failed(&servers, self.connections_max, &error))?;
        Ok(Session::new(client, tls))
    }

    fn pool(&self, key: Key, config: Config) -> Result<Entry, Error> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.swept.elapsed() >= SWEEP_INTERVAL {
            state.swept = Instant::now();
            state.sweep();
        }
        if let Some(entry) = state.pools.get(&key) {
            return Ok(entry.clone());
        }
        if state.pools.len() >= DATABASES_MAX {
            state.pools.retain(|_, entry| entry.is_used());
        }
        if state.pools.len() >= DATABASES_MAX {
            return Err(Error::ConnectionFailed(format!(
                "connections to {DATABASES_MAX} different addresses of PostgreSQL are in use, which \
                 is the most at once"
            )));
        }
        let entry = Entry::new(config, key.authority.as_deref(), self.connections_max)?;
        state.pools.insert(key, entry.clone());
        Ok(entry)
    }
}

impl State {
    /// Closes connections that were not used for long, and removes pools without connections.
    fn sweep(&mut self) {
        for entry in self.pools.values() {
            entry.pool.retain(|_, metrics| metrics.last_used() < IDLE_LIMIT);
        }
        self.pools.retain(|_, entry| entry.pool.status().size > 0 || entry.is_used());
    }
}

impl Entry {
    fn new(config: Config, authority: Option<&str>, connections_max: usize) -> Result<Self, Error> {
        let mut tls = TlsConnector::builder();
        if let Some(authority) = authority {
            tls.add_root_certificate(certificate(authority)?);
        }
        let tls = tls.build().map_err(|error| Error::Other(format!("TLS: {error}")))?;
        let tls = MakeTlsConnector::new(tls);
        // A connection is reset when it is given back; see `Session`.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_LIMIT))
            .create_timeout(Some(CONNECT_LIMIT))
            .recycle_timeout(Some(CONNECT_LIMIT))
            .build();
        let pool = pool.map_err(|error| Error::Other(error.to_string()))?;
        Ok(Self { pool, tls })
    }

    /// Whether a component has a connection of the pool, or waits for one.
    fn is_used(&self) -> bool {
        let status = self.pool.status();
        status.waiting > 0 || status.available < status.size
    }
}

/// The certificate of an authority.
pub(super) fn certificate(pem: &str) -> Result<Certificate, Error> {
    Certificate::from_pem(pem.as_bytes())
        .map_err(|error| Error::Other(format!("invalid root certificate: {error}")))
}
