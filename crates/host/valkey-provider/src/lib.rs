//! Provides `doorbuster:valkey/client` natively, with one connection for all instances of a
//! component. The client ([`valkey_client`]) and the host ([`component_host`]) do not depend on each
//! other; this crate connects them.

mod types;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use component_host::{Capability, GuestState};
use valkey_client::Client;
use valkey_codec::{ClientError, Servers};
use wasmtime::component::Linker;

/// The interface.
const CLIENT: &str = "doorbuster:valkey/client@0.2.0";

/// The variable with the URL of the servers.
const URL: &str = "valkey_url";

/// The variable with the certificates of the authorities, for TLS.
const AUTHORITIES: &str = "valkey_ca";

/// The clients of the components, by the component's id. Each is created when its component calls
/// it for the first time. Components do not share a client, because they may differ in the hosts
/// that they may connect to.
type Clients = Mutex<HashMap<Arc<str>, Result<Arc<Client>, ClientError>>>;

/// The host's client, for components that import it.
#[derive(Default)]
pub struct ValkeyProvider {
    clients: Arc<Clients>,
}

impl Capability for ValkeyProvider {
    fn interfaces(&self) -> &[&str] {
        &[CLIENT]
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let clients = self.clients.clone();
        linker.instance(CLIENT)?.func_wrap_concurrent(
            "pipeline",
            move |accessor, (commands, replies, limit_ms): (Vec<u8>, u32, u32)| {
                let client = accessor.with(|mut access| client(&clients, access.get()));
                Box::pin(async move {
                    let limit = Duration::from_millis(limit_ms.into());
                    let replies = match client {
                        Ok(client) => client.pipeline(&commands, replies, limit).await,
                        Err(error) => Err(error),
                    };
                    let replies = replies
                        .map(|replies| {
                            replies.into_iter().map(types::Reply::from).collect::<Vec<_>>()
                        })
                        .map_err(types::ClientError::from);
                    Ok((replies,))
                })
            },
        )
    }
}

/// The client of a component.
fn client(clients: &Clients, state: &GuestState) -> Result<Arc<Client>, ClientError> {
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(client) = clients.get(state.component()) {
        return client.clone();
    }
    let client = new_client(state).map(Arc::new);
    clients.insert(state.component().clone(), client.clone());
    client
}

fn new_client(state: &GuestState) -> Result<Client, ClientError> {
    let config = |name: &str, error: &dyn std::fmt::Display| {
        ClientError::Config(format!("Spin variable `{name}`: {error}"))
    };
    let url =
        state.variable(URL).ok_or_else(|| config(URL, &"the component does not declare it"))?;
    let servers = Servers::parse(url).map_err(|error| config(URL, &error))?;
    let allowed = state.allowed_hosts().clone();
    let is_allowed = move |host: &str, port| allowed.allows("tcp", host, port);
    let authorities = state.variable(AUTHORITIES).unwrap_or_default();
    Client::new(servers, authorities, is_allowed).map_err(|error| config(AUTHORITIES, &error))
}
