//! The stored responses of an instance.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::rc::Rc;

use http::HeaderName;
use lru::LruCache;

use crate::key::{Key, Variant};
use crate::lookup::Lookup;
use crate::settings::Config;
use crate::status::Forwarded;
use crate::stored::Stored;

/// Maximum number of responses for one target, which differ in the headers that select them.
pub const VARIANTS_MAX: usize = 8;

/// Bytes that a target needs in addition to its key and its responses.
const OVERHEAD_BYTES: usize = 256;

/// For how long a target counts as one whose responses are not stored.
const NOT_STORED_MS: u64 = 10_000;

/// Maximum number of such targets, and of invalidated ones.
const NOTES_MAX: NonZeroUsize = match NonZeroUsize::new(1_000) {
    Some(number) => number,
    None => NonZeroUsize::MIN,
};

/// Stored responses, within a number of targets and of bytes. What was not used for the longest time
/// is removed first.
#[derive(Debug)]
pub struct Memory {
    /// The responses for each target. The last used one is the first.
    targets: LruCache<Key, VecDeque<Rc<Stored>>>,
    entries_max: usize,
    bytes_max: usize,
    entry_bytes_max: usize,
    bytes: usize,
    /// The number of invalidations.
    invalidations: u64,
    /// The last invalidation of each target.
    invalidated: LruCache<Key, u64>,
    /// The last invalidation that is not in `invalidated` any more.
    forgotten: u64,
    /// Until when responses to such requests are not expected to be stored.
    not_stored_until_ms: LruCache<Alike, u64>,
}

/// Requests that are expected to have the same response: the target, the variant that they select
/// among the stored responses, and whether they have credentials.
pub type Alike = (Key, Variant, bool);

/// What the store has for a request.
#[derive(Debug, Clone)]
pub enum Found {
    /// The response that the request selects.
    Response(Rc<Stored>),
    /// None that this request may get.
    Nothing {
        /// Why.
        reason: Forwarded,
        /// The names in `Vary` of the stored responses for the target.
        vary: Vec<HeaderName>,
    },
}

impl Found {
    /// Nothing, given the responses for the target: their `Vary`, and whether the request selects
    /// it.
    pub fn none<'a>(stored: impl Iterator<Item = (&'a [HeaderName], bool)>) -> Self {
        let mut reason = Forwarded::UriMiss;
        let mut vary = Vec::new();
        for (names, is_selected) in stored {
            vary.extend_from_slice(names);
            reason = match reason {
                Forwarded::Miss => reason,
                // It is for other credentials.
                _ if is_selected => Forwarded::Miss,
                _ => Forwarded::VaryMiss,
            };
        }
        Self::Nothing { reason, vary }
    }
}

impl Memory {
    /// An empty store.
    pub fn new(config: &Config) -> Self {
        Self {
            targets: LruCache::unbounded(),
            entries_max: config.entries_max,
            bytes_max: config.bytes_max,
            entry_bytes_max: config.entry_bytes_max,
            bytes: 0,
            invalidations: 0,
            invalidated: LruCache::new(NOTES_MAX),
            forgotten: 0,
            not_stored_until_ms: LruCache::new(NOTES_MAX),
        }
    }

    /// The response that a request selects (RFC 9111, 4.1). If there are several, it is the one that
    /// was received last.
    pub fn find(&mut self, lookup: &Lookup, config: &Config) -> Found {
        let Some(responses) = self.targets.get_mut(&lookup.key) else {
            return Found::none(std::iter::empty());
        };
        let selected =
            |stored: &Rc<Stored>| lookup.variant(&stored.vary, &config.rules) == stored.variant;
        let matching = responses.iter().enumerate();
        let matching = matching.filter(|(_, stored)| stored.is_for(lookup) && selected(stored));
        let last = matching.max_by_key(|(_, stored)| stored.received_ms).map(|(index, _)| index);
        match last.and_then(|index| responses.remove(index)) {
            Some(stored) => {
                responses.push_front(stored.clone());
                Found::Response(stored)
            }
            None => Found::none(responses.iter().map(|stored| (&*stored.vary, selected(stored)))),
        }
    }

    /// A number that increases with each invalidation. A response may be stored if its target was
    /// not invalidated since the number was read, before the request was sent.
    pub fn version(&self) -> u64 {
        self.invalidations
    }

    /// Stores a response to a request that was sent when `version` was read. Returns whether it is
    /// stored.
    pub fn store(&mut self, key: &Key, stored: Rc<Stored>, version: u64) -> bool {
        let invalidated = self.invalidated.peek(key).copied().unwrap_or(self.forgotten);
        if stored.size() > self.entry_bytes_max || invalidated > version {
            return false;
        }
        let mut responses = self.take(key);
        responses.retain(|old| old.variant != stored.variant || old.vary != stored.vary);
        responses.truncate(VARIANTS_MAX - 1);
        responses.push_front(stored);
        self.put(key, responses);
        self.targets.contains(key)
    }

    /// Removes the response that was found, because it must not be used any more.
    pub fn remove(&mut self, key: &Key, stored: &Rc<Stored>) {
        let mut responses = self.take(key);
        responses.retain(|other| !Rc::ptr_eq(other, stored));
        self.put(key, responses);
    }

    /// Removes all responses for a target, also those to requests that were sent already.
    pub fn invalidate(&mut self, key: &Key) {
        self.take(key);
        self.invalidations += 1;
        let forgotten = self.invalidated.push(key.clone(), self.invalidations);
        if let Some((other, version)) = forgotten
            && other != *key
        {
            self.forgotten = self.forgotten.max(version);
        }
    }

    /// Notes that a response to such a request was not stored.
    pub fn note_not_stored(&mut self, alike: &Alike, now_ms: u64) {
        self.not_stored_until_ms.push(alike.clone(), now_ms + NOT_STORED_MS);
    }

    /// Whether a response to such a request was not stored a short time ago, so that requests do not
    /// wait for each other.
    pub fn is_not_stored(&self, alike: &Alike, now_ms: u64) -> bool {
        self.not_stored_until_ms.peek(alike).is_some_and(|until_ms| now_ms < *until_ms)
    }

    /// Takes out the responses for a target.
    fn take(&mut self, key: &Key) -> VecDeque<Rc<Stored>> {
        let Some(responses) = self.targets.pop(key) else { return VecDeque::new() };
        self.bytes -= size(key, &responses);
        responses
    }

    fn put(&mut self, key: &Key, responses: VecDeque<Rc<Stored>>) {
        if responses.is_empty() {
            return;
        }
        self.bytes += size(key, &responses);
        self.targets.push(key.clone(), responses);
        while self.targets.len() > self.entries_max || self.bytes > self.bytes_max {
            let Some((key, responses)) = self.targets.pop_lru() else { break };
            self.bytes -= size(&key, &responses);
        }
    }
}

fn size(key: &Key, responses: &VecDeque<Rc<Stored>>) -> usize {
    let responses: usize = responses.iter().map(|stored| stored.size()).sum();
    OVERHEAD_BYTES + key.as_str().len() + responses
}
