//! The connections, one for each component and address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use component_host::GuestState;
use spin_app::allowed_hosts::AllowedHosts;
use valkey_client::Client;
use valkey_codec::Servers;

use super::bindings::v3::Error;
use crate::limits::{ADDRESS_BYTES_MAX, REDIS_CLIENTS_MAX};

/// A connection as a resource of a component.
pub struct Connection(pub(super) Arc<Client>);

/// The clients. Components do not share one, because they may differ in the hosts that they may
/// connect to.
#[derive(Default)]
pub(super) struct Clients(Mutex<HashMap<Key, Arc<Client>>>);

#[derive(PartialEq, Eq, Hash)]
struct Key {
    component: Arc<str>,
    address: String,
}

impl Clients {
    /// The client of a component for this address. It connects when it is used.
    pub fn open(state: &GuestState, address: String) -> Result<Connection, Error> {
        let clients = state.shared::<Self>();
        let clients = clients.ok_or_else(|| Error::Other("Redis is not available".into()))?;
        let mut clients = clients.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key { component: state.component().clone(), address };
        if let Some(client) = clients.get(&key) {
            return Ok(Connection(client.clone()));
        }
        let client = Arc::new(new_client(&key, state.allowed_hosts())?);
        if clients.len() >= REDIS_CLIENTS_MAX {
            // The others are in use.
            clients.retain(|_, client| Arc::strong_count(client) > 1);
        }
        if clients.len() >= REDIS_CLIENTS_MAX {
            return Err(Error::TooManyConnections);
        }
        clients.insert(key, client.clone());
        Ok(Connection(client))
    }
}

/// Errors do not quote the address, because it may contain a password. The interface has no text for
/// an address that is not allowed, so the log has it.
fn new_client(key: &Key, allowed: &Arc<AllowedHosts>) -> Result<Client, Error> {
    let Key { component, address } = key;
    let component = &**component;
    let refused = |reason: String| {
        tracing::warn!(component, reason, "Redis: no connection");
        Error::InvalidAddress
    };
    if address.len() > ADDRESS_BYTES_MAX {
        return Err(refused(format!("the address has more than {ADDRESS_BYTES_MAX} bytes")));
    }
    let servers = Servers::parse(address).map_err(|error| refused(error.to_string()))?;
    let scheme = if servers.tls() { "rediss" } else { "redis" };
    for server in servers.iter() {
        if !allows(allowed, scheme, &server.host, server.port) {
            return Err(refused(format!("add \"{scheme}://{server}\" to allowed_outbound_hosts")));
        }
    }
    let allowed = allowed.clone();
    let is_allowed = move |host: &str, port| allows(&allowed, scheme, host, port);
    Client::new(servers, "", is_allowed).map_err(Error::Other)
}

/// An entry for sockets allows the same connection.
fn allows(allowed: &AllowedHosts, scheme: &str, host: &str, port: u16) -> bool {
    // Spin accepts `redis` for both schemes.
    [scheme, "redis", "tcp"].iter().any(|scheme| allowed.allows(scheme, host, port))
}
