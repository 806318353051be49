//! Opens connections for components.

use std::sync::Arc;

use component_host::GuestState;
use spin_app::allowed_hosts::AllowedHosts;
use valkey_client::Client;
use valkey_codec::Servers;

use super::bindings::v3::Error;
use crate::clients::Clients;
use crate::limits::ADDRESS_BYTES_MAX;

/// A connection as a resource of a component.
pub struct Connection(pub(super) Arc<Client>);

/// The clients of all components.
#[derive(Default)]
pub(super) struct RedisClients(Clients);

impl Connection {
    /// A connection of a component to this address. It connects when it is used.
    pub(super) fn new(state: &GuestState, address: String) -> Result<Self, Error> {
        let clients = state.shared::<RedisClients>();
        let clients = clients.ok_or_else(|| Error::Other("Redis is not available".into()))?;
        let (component, allowed) = (state.component(), state.allowed_hosts());
        let create = |address: &str| new_client(component, address, allowed);
        let client = clients.0.get(component, address, create)?;
        client.map(Self).ok_or(Error::TooManyConnections)
    }
}

/// Errors do not quote the address, because it may contain a password. The interface has no text for
/// an address that is not allowed, so the log has it.
fn new_client(
    component: &str,
    address: &str,
    allowed: &Arc<AllowedHosts>,
) -> Result<Client, Error> {
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
