//! Where responses are stored, and which requests wait for another one.

use std::cell::RefCell;
use std::rc::Rc;

use guest_tasks::Wake;
use guest_valkey::Client;
use response_cache::{Config, Flights, Found, Key, Lookup, Memory, Stored, Variant};

use crate::remote::Remote;

/// Requests with the same value wait for each other: the target, the headers that always select a
/// response, and whether there are credentials.
pub type FlightKey = (Key, Variant, bool);

/// The version of all targets while it is not known, because Valkey cannot be used. Nothing is stored
/// with it.
pub const NO_VERSION: u64 = u64::MAX;

/// The stored responses: those in Valkey if there is one, and otherwise those of the instance.
pub struct Store {
    pub config: Config,
    pub flights: Flights<FlightKey, Wake>,
    memory: RefCell<Memory>,
    remote: Option<Remote>,
}

impl Store {
    pub fn new(config: Config, client: Option<Client>) -> Self {
        Self {
            memory: RefCell::new(Memory::new(&config)),
            flights: Flights::default(),
            remote: client.map(|client| Remote::new(client, &config)),
            config,
        }
    }

    /// What there is for a request, and the version of its target, with which the response to a
    /// request that is sent now can be stored.
    pub async fn find(&self, lookup: &Lookup) -> (Found, u64) {
        match &self.remote {
            None => {
                let mut memory = self.memory.borrow_mut();
                (memory.find(lookup, &self.config), memory.version())
            }
            Some(remote) => {
                let found = remote.find(lookup, &self.config).await;
                found.unwrap_or((Found::Nothing, NO_VERSION))
            }
        }
    }

    /// Stores a response. Returns whether it is stored.
    pub async fn store(&self, key: &Key, stored: &Rc<Stored>, version: u64) -> bool {
        match &self.remote {
            None => self.memory.borrow_mut().store(key, stored.clone(), version),
            Some(_) if version == NO_VERSION || stored.size() > self.config.entry_bytes_max => {
                false
            }
            Some(remote) => remote.store(&self.config, key, stored, version).await,
        }
    }

    pub async fn remove(&self, key: &Key, stored: &Rc<Stored>) {
        match &self.remote {
            None => self.memory.borrow_mut().remove(key, stored),
            Some(remote) => remote.remove(&self.config, key, stored).await,
        }
    }

    pub async fn invalidate(&self, key: &Key) {
        match &self.remote {
            None => self.memory.borrow_mut().invalidate(key),
            Some(remote) => remote.invalidate(&self.config, key).await,
        }
    }

    pub fn note_not_stored(&self, lookup: &Lookup, now_ms: u64) {
        self.memory.borrow_mut().note_not_stored(lookup, now_ms);
    }

    pub fn is_not_stored(&self, lookup: &Lookup, now_ms: u64) -> bool {
        self.memory.borrow().is_not_stored(lookup, now_ms)
    }
}
