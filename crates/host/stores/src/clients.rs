//! Connections to servers of Redis and Valkey, one for each component and address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use valkey_client::Client;

use crate::limits::REDIS_CLIENTS_MAX;

/// The clients by component and address. Components do not share one: they may differ in the hosts
/// that they may connect to, and a reply that is too long breaks the connection.
#[derive(Default)]
pub(crate) struct Clients(Mutex<HashMap<Key, Arc<Client>>>);

#[derive(PartialEq, Eq, Hash)]
struct Key {
    component: Arc<str>,
    address: String,
}

impl Clients {
    /// The client of a component for this address, which `create` creates if there is none. It
    /// connects when it is used. `None` if there are too many.
    pub fn get<E>(
        &self,
        component: &Arc<str>,
        address: String,
        create: impl FnOnce(&str) -> Result<Client, E>,
    ) -> Result<Option<Arc<Client>>, E> {
        let mut clients = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Key { component: component.clone(), address };
        if let Some(client) = clients.get(&key) {
            return Ok(Some(client.clone()));
        }
        let client = Arc::new(create(&key.address)?);
        if clients.len() >= REDIS_CLIENTS_MAX {
            // The others are in use.
            clients.retain(|_, client| Arc::strong_count(client) > 1);
        }
        if clients.len() >= REDIS_CLIENTS_MAX {
            return Ok(None);
        }
        clients.insert(key, client.clone());
        Ok(Some(client))
    }
}

#[cfg(test)]
mod tests {
    use valkey_codec::Servers;

    use super::*;

    #[test]
    fn components_have_their_own_clients_up_to_the_limit() {
        let clients = Clients::default();
        let get = |component: &str, address: usize| {
            let create = |url: &str| {
                let servers = Servers::parse(url).map_err(|error| error.to_string())?;
                Client::new(servers, "", |_, _| false)
            };
            clients.get(&component.into(), format!("redis://h/{address}"), create).unwrap()
        };
        let first = get("a", 0).unwrap();
        assert!(Arc::ptr_eq(&first, &get("a", 0).unwrap()));
        assert!(!Arc::ptr_eq(&first, &get("b", 0).unwrap()));
        let used: Vec<_> = (0..REDIS_CLIENTS_MAX).map_while(|address| get("a", address)).collect();
        assert_eq!(used.len(), REDIS_CLIENTS_MAX, "the unused one of `b` is removed");
        assert!(get("b", 0).is_none());
        drop(used);
        assert!(get("b", 0).is_some());
    }
}
