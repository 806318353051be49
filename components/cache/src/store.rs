//! Where responses are stored, and which requests wait for another one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use guest_tasks::Wake;
use guest_valkey::Client;
use response_cache::{Alike, Config, Flights, Forwarded, Found, Key, Lookup, Memory, Stored};

use crate::remote::Remote;

/// The version of all targets while it is not known, because Valkey cannot be used. Nothing is stored
/// with it.
pub const NO_VERSION: u64 = u64::MAX;

/// The most bytes of the responses that are received at the same time, to be stored. Others are passed
/// on.
const RECEIVING_BYTES_MAX: usize = 16 << 20;

/// The stored responses: those in Valkey if there is one, and otherwise those of the instance.
pub struct Store {
    pub config: Config,
    pub flights: Flights<Alike, Wake>,
    memory: RefCell<Memory>,
    remote: Option<Remote>,
    /// The bytes of the responses that are being received.
    receiving: Cell<usize>,
}

/// The permission to receive a response of this length.
pub struct Receiving<'a> {
    store: &'a Store,
    bytes: usize,
}

impl Drop for Receiving<'_> {
    fn drop(&mut self) {
        self.store.receiving.set(self.store.receiving.get() - self.bytes);
    }
}

impl Store {
    pub fn new(config: Config, client: Option<Client>) -> Self {
        Self {
            memory: RefCell::new(Memory::new(&config)),
            flights: Flights::default(),
            remote: client.map(|client| Remote::new(client, &config)),
            receiving: Cell::default(),
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
                found.unwrap_or_else(|| {
                    let vary = Vec::new();
                    (Found::Nothing { reason: Forwarded::Miss, vary }, NO_VERSION)
                })
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

    /// Removes the responses for a target. Returns whether they are removed: Valkey may not answer.
    pub async fn invalidate(&self, key: &Key) -> bool {
        match &self.remote {
            None => {
                self.memory.borrow_mut().invalidate(key);
                true
            }
            Some(remote) => remote.invalidate(&self.config, key).await,
        }
    }

    /// The permission to receive a response of this length; `None` if there is no room for it now.
    pub fn receive(&self, bytes: usize) -> Option<Receiving<'_>> {
        let all = self.receiving.get() + bytes;
        (all <= RECEIVING_BYTES_MAX).then(|| {
            self.receiving.set(all);
            Receiving { store: self, bytes }
        })
    }

    pub fn note_not_stored(&self, alike: &Alike, now_ms: u64) {
        self.memory.borrow_mut().note_not_stored(alike, now_ms);
    }

    pub fn is_not_stored(&self, alike: &Alike, now_ms: u64) -> bool {
        self.memory.borrow().is_not_stored(alike, now_ms)
    }
}
