//! The pools of connections, one for each address.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use native_tls::{Certificate, TlsConnector};
use postgres_native_tls::MakeTlsConnector;
use tokio_postgres::Config;

use super::address::servers;
use super::bindings::v4::Error;
use super::error::connection_failed;
use super::session::Session;
use crate::StoresConfig;
use crate::limits::{CONNECT_LIMIT, DATABASES_MAX, DATABASES_SHARE, IDLE_LIMIT, WAIT_LIMIT};

/// How often idle connections are closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// The pools of all components. Components with the same address, which contains the user and its
/// password, share a pool.
pub(super) struct Pools {
    connections_max: usize,
    statement_limit: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    entries: Vec<Entry>,
    /// Whether a task closes idle connections.
    is_swept: bool,
}

#[derive(Clone)]
struct Entry {
    /// The address. Two texts with the same meaning are the same one.
    config: Config,
    /// The certificate of an authority, as PEM.
    authority: Option<String>,
    /// The component that used the address first.
    component: Arc<str>,
    pool: Pool,
    tls: MakeTlsConnector,
}

impl Pools {
    pub fn new(config: &StoresConfig) -> Self {
        Self {
            connections_max: config.postgres_connections_max,
            statement_limit: config.postgres_statement_limit,
            state: Arc::default(),
        }
    }

    /// A connection of a component to this address, which was checked.
    pub async fn open(
        &self,
        component: &Arc<str>,
        authority: Option<String>,
        config: Config,
    ) -> Result<Session, Error> {
        let servers = servers(&config);
        let Entry { pool, tls, .. } = self.entry(component, authority, config)?;
        let client = pool.get().await;
        let client =
            client.map_err(|error| connection_failed(&servers, self.connections_max, &error))?;
        Ok(Session::new(client, tls, self.statement_limit))
    }

    fn entry(
        &self,
        component: &Arc<str>,
        authority: Option<String>,
        config: Config,
    ) -> Result<Entry, Error> {
        let mut state = lock(&self.state);
        let known = |entry: &&Entry| entry.config == config && entry.authority == authority;
        if let Some(entry) = state.entries.iter().find(known) {
            return Ok(entry.clone());
        }
        if state.is_full(component) {
            state.entries.retain(Entry::is_used);
        }
        if state.is_full(component) {
            return Err(Error::ConnectionFailed(format!(
                "connections to {DATABASES_MAX} different addresses of PostgreSQL are in use, or to \
                 {DATABASES_SHARE} by this component, which is the most at once"
            )));
        }
        let entry = Entry::new(config, authority, component.clone(), self.connections_max)?;
        state.entries.push(entry.clone());
        if !state.is_swept {
            state.is_swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.state)));
        }
        Ok(entry)
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes idle connections, until the pools are dropped.
async fn sweep(state: Weak<Mutex<State>>) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(state) = state.upgrade() else { return };
        lock(&state).sweep();
    }
}

impl State {
    /// Whether the component cannot use another address.
    fn is_full(&self, component: &Arc<str>) -> bool {
        let own = self.entries.iter().filter(|entry| entry.component == *component).count();
        self.entries.len() >= DATABASES_MAX || own >= DATABASES_SHARE
    }

    /// Closes connections that were not used for long, and removes pools without connections.
    fn sweep(&mut self) {
        for entry in &self.entries {
            entry.pool.retain(|_, metrics| metrics.last_used() < IDLE_LIMIT);
        }
        self.entries.retain(|entry| entry.pool.status().size > 0 || entry.is_used());
    }
}

impl Entry {
    fn new(
        config: Config,
        authority: Option<String>,
        component: Arc<str>,
        connections_max: usize,
    ) -> Result<Self, Error> {
        let mut tls = TlsConnector::builder();
        if let Some(authority) = &authority {
            tls.add_root_certificate(certificate(authority)?);
        }
        let tls = tls.build().map_err(|error| Error::Other(format!("TLS: {error}")))?;
        let tls = MakeTlsConnector::new(tls);
        // A connection is reset when it is given back; see `Session`.
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config.clone(), tls.clone(), recycling);
        let pool = Pool::builder(manager)
            .max_size(connections_max)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT_LIMIT))
            .create_timeout(Some(CONNECT_LIMIT))
            .recycle_timeout(Some(CONNECT_LIMIT))
            .build();
        let pool = pool.map_err(|error| Error::Other(error.to_string()))?;
        Ok(Self { config, authority, component, pool, tls })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_has_one_pool_and_a_component_a_share_of_them() {
        let pools = Pools::new(&StoresConfig::default());
        let add = |component: &str, address: &str| {
            let config: Config = address.parse().unwrap();
            pools.entry(&component.into(), None, config).map(drop)
        };
        add("a", "postgres://u@h/d").unwrap();
        add("b", "host=h port=5432 user=u dbname=d").unwrap();
        assert_eq!(lock(&pools.state).entries.len(), 1);
        for number in 1..DATABASES_SHARE {
            add("a", &format!("postgres://h/d?application_name={number}")).unwrap();
        }
        assert!(lock(&pools.state).is_full(&"a".into()));
        assert!(!lock(&pools.state).is_full(&"b".into()));
        add("a", "postgres://h/other").unwrap();
        assert_eq!(lock(&pools.state).entries.len(), 1, "those without connections are removed");
    }
}
