//! Walks through a state in windows of limited size.

use std::collections::{BTreeSet, VecDeque};

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult};

use super::window::Places;
use super::{PositionKeys, Window};

/// Maximum number of values in a window. The live store replies to no other client while it reads
/// them.
const WINDOW_ELEMENTS_MAX: usize = 10_000;

/// Number of keys or elements that one command reads.
const CHUNK: usize = 500;

/// The keys that are not compared.
#[derive(Debug, Clone)]
pub struct Ignored {
    /// Beginnings of names.
    pub prefixes: Vec<String>,
    /// The positions, if they are known. They are equal when the values are compared.
    pub positions: Option<PositionKeys>,
}

impl Ignored {
    fn contains(&self, key: &[u8]) -> bool {
        is_internal(key)
            || self.positions.as_ref().is_some_and(|positions| positions.contains(key))
            || self.prefixes.iter().any(|prefix| key.starts_with(prefix.as_bytes()))
    }
}

/// Maximum number of states whose keys are searched in the other store.
const STATES_MAX: usize = 16;

/// Maximum number of steps of a scan of the other store for one window.
const OTHER_SCANS_MAX: usize = 20;

/// Whether `spin-kafka-state` uses the key itself: `{NAME:VERSION}/…`. The fingerprints of
/// idempotency keys depend on where batches end.
fn is_internal(key: &[u8]) -> bool {
    let after_tag = key.strip_prefix(b"{").and_then(|rest| rest.split(|byte| *byte == b'}').nth(1));
    after_tag.is_some_and(|rest| rest.starts_with(b"/"))
}

/// The beginning of the names of all keys of a function's state: `{NAME:VERSION}:`.
fn state_of(key: &[u8]) -> Option<&[u8]> {
    let end = key.iter().position(|byte| *byte == b'}')?;
    let is_state = key.starts_with(b"{") && key.get(end + 1) == Some(&b':');
    if is_state { key.get(..end + 2) } else { None }
}

/// A walk through all keys of a store, and then through those keys of another one that belong to
/// the same states. A key that is added meanwhile may be left out.
pub struct Walk {
    ignored: Ignored,
    keys: VecDeque<Vec<u8>>,
    /// The next cursor of the scan of the keys; `None` if it is complete.
    cursor: Option<u64>,
    /// The key whose elements are being read.
    current: Option<Elements>,
    /// The states in the store, as the beginnings of the names of their keys.
    states: BTreeSet<Vec<u8>>,
    /// The next cursor of the scan of the other store for keys of the first state.
    other_cursor: u64,
}

/// The elements of a key that are being read.
struct Elements {
    key: Vec<u8>,
    kind: Kind,
    cursor: u64,
}

#[derive(Clone, Copy)]
enum Kind {
    Hash,
    SortedSet,
    Set,
}

impl Walk {
    pub fn new(ignored: Ignored) -> Self {
        Self {
            ignored,
            keys: VecDeque::new(),
            cursor: Some(0),
            current: None,
            states: BTreeSet::new(),
            other_cursor: 0,
        }
    }

    /// Whether every key was part of a window.
    pub fn has_ended(&self) -> bool {
        self.cursor.is_none()
            && self.keys.is_empty()
            && self.current.is_none()
            && self.states.is_empty()
    }

    /// The next window.
    pub async fn next(
        &mut self,
        store: &mut MultiplexedConnection,
        other: &mut MultiplexedConnection,
    ) -> RedisResult<Window> {
        let mut window = Window::default();
        let mut other_scans = 0;
        while window.elements() < WINDOW_ELEMENTS_MAX {
            if let Some(elements) = self.current.take() {
                self.current = elements.read(store, &mut window).await?;
            } else if let Some(key) = self.keys.pop_front() {
                self.current = begin(store, key, &mut window).await?;
            } else if let Some(cursor) = self.cursor {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("COUNT").arg(CHUNK);
                let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(store).await?;
                let compared = keys.into_iter().filter(|key| !self.ignored.contains(key));
                for key in compared {
                    if self.states.len() < STATES_MAX {
                        self.states.extend(state_of(&key).map(<[u8]>::to_vec));
                    }
                    self.keys.push_back(key);
                }
                self.cursor = (next != 0).then_some(next);
            } else if let Some(state) = self.states.first().cloned()
                && other_scans < OTHER_SCANS_MAX
            {
                other_scans += 1;
                self.add_others(&state, store, other, &mut window).await?;
            } else {
                break;
            }
        }
        Ok(window)
    }

    /// Adds keys of a state that only the other store has.
    async fn add_others(
        &mut self,
        state: &[u8],
        store: &mut MultiplexedConnection,
        other: &mut MultiplexedConnection,
        window: &mut Window,
    ) -> RedisResult<()> {
        let mut scan = redis::cmd("SCAN");
        let pattern = [state, b"*"].concat();
        scan.arg(self.other_cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(CHUNK);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(other).await?;
        for key in keys.iter().filter(|key| !self.ignored.contains(key)) {
            if !redis::cmd("EXISTS").arg(key).query_async::<bool>(store).await? {
                window.add("TYPE", key, Places::Value);
            }
        }
        self.other_cursor = next;
        if next == 0 {
            self.states.remove(state);
        }
        Ok(())
    }
}

/// Adds the value or the number of elements of a key. Returns the elements that are still to be
/// read.
async fn begin(
    store: &mut MultiplexedConnection,
    key: Vec<u8>,
    window: &mut Window,
) -> RedisResult<Option<Elements>> {
    let kind: String = redis::cmd("TYPE").arg(&key).query_async(store).await?;
    let (length, kind) = match kind.as_str() {
        "string" => {
            window.add_string(&key, store).await?;
            return Ok(None);
        }
        "hash" => ("HLEN", Some(Kind::Hash)),
        "zset" => ("ZCARD", Some(Kind::SortedSet)),
        "set" => ("SCARD", Some(Kind::Set)),
        // The order of the entries depends on the order in which partitions are applied.
        "stream" => ("XLEN", None),
        "list" => ("LLEN", None),
        // It expired in the meantime, or is of a type that is not compared.
        _ => return Ok(None),
    };
    window.add(length, &key, Places::Length);
    Ok(kind.map(|kind| Elements { key, kind, cursor: 0 }))
}

impl Elements {
    /// Adds the next elements. Returns the rest, if there is one.
    async fn read(
        self,
        store: &mut MultiplexedConnection,
        window: &mut Window,
    ) -> RedisResult<Option<Self>> {
        let next = match self.kind {
            Kind::Hash => {
                let (next, pairs) = self.scan::<Vec<(Vec<u8>, Vec<u8>)>>("HSCAN", store).await?;
                let fields = pairs.into_iter().map(|(field, _)| field).collect();
                self.add("HMGET", fields, Places::Fields, window);
                next
            }
            Kind::SortedSet => {
                let (next, pairs) = self.scan::<Vec<(Vec<u8>, f64)>>("ZSCAN", store).await?;
                let members = pairs.into_iter().map(|(member, _)| member).collect();
                self.add("ZMSCORE", members, Places::Scores, window);
                next
            }
            Kind::Set => {
                let (next, members) = self.scan::<Vec<Vec<u8>>>("SSCAN", store).await?;
                self.add("SMISMEMBER", members, Places::Members, window);
                next
            }
        };
        Ok((next != 0).then_some(Self { cursor: next, ..self }))
    }

    async fn scan<T: FromRedisValue>(
        &self,
        command: &str,
        store: &mut MultiplexedConnection,
    ) -> RedisResult<(u64, T)> {
        let mut scan = redis::cmd(command);
        scan.arg(&self.key).arg(self.cursor).arg("COUNT").arg(CHUNK);
        scan.query_async(store).await
    }

    fn add(
        &self,
        command: &str,
        names: Vec<Vec<u8>>,
        places: fn(Vec<Vec<u8>>) -> Places,
        window: &mut Window,
    ) {
        // A small hash is returned as a whole, whatever its size is.
        for chunk in names.chunks(CHUNK) {
            window.add(command, &self.key, places(chunk.to_vec()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_library_and_named_ones_are_ignored() {
        let ignored = Ignored { prefixes: vec!["seen:".into()], positions: None };
        for key in ["{words:1}/seen:g:t:0", "seen:g:t:0"] {
            assert!(ignored.contains(key.as_bytes()), "{key}");
        }
        for key in ["{words:1}:a}/b", "words}/b", "unseen:", "{", ""] {
            assert!(!ignored.contains(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn the_state_of_a_key_is_known() {
        assert_eq!(state_of(b"{words:1}:a}:b"), Some(&b"{words:1}:"[..]));
        for key in ["{words:1}/seen", "{words:1}", "words:1}:a", "{", ""] {
            assert_eq!(state_of(key.as_bytes()), None, "{key}");
        }
    }
}
