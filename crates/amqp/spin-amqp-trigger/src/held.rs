//! The deliveries that are not acknowledged yet.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lapin::BasicProperties;
use lapin::types::ShortString;

/// What a dead letter needs of its message in addition to the record.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub properties: BasicProperties,
}

/// The deliveries of the current connection that are not acknowledged yet, by their numbers. There
/// are at most as many as `prefetch`.
#[derive(Debug, Default)]
pub(crate) struct Held(Mutex<VecDeque<(i64, Origin)>>);

impl Held {
    /// Adds a delivery. Its number is above those of the others.
    pub fn add(&self, number: i64, origin: Origin) {
        self.lock().push_back((number, origin));
    }

    pub fn get(&self, number: i64) -> Option<Origin> {
        let held = self.lock();
        let at = held.binary_search_by_key(&number, |(number, _)| *number).ok()?;
        held.get(at).map(|(_, origin)| origin.clone())
    }

    /// Whether there is a delivery before this number.
    pub fn has_before(&self, before: i64) -> bool {
        self.lock().front().is_some_and(|(number, _)| *number < before)
    }

    /// Removes all deliveries before this number.
    pub fn release(&self, before: i64) {
        let mut held = self.lock();
        let released = held.partition_point(|(number, _)| *number < before);
        held.drain(..released);
    }

    /// Removes all: the broker delivers them again.
    pub fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(i64, Origin)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(routing_key: &str) -> Origin {
        Origin {
            exchange: "".into(),
            routing_key: routing_key.into(),
            properties: BasicProperties::default(),
        }
    }

    #[test]
    fn deliveries_are_held_until_they_are_acknowledged() {
        let held = Held::default();
        for number in 1..=3 {
            held.add(number, origin(&number.to_string()));
        }
        assert!(!held.has_before(1) && held.has_before(2));
        held.release(3);
        assert!(!held.has_before(3) && held.get(2).is_none());
        assert_eq!(held.get(3).unwrap().routing_key.as_str(), "3");
        held.clear();
        assert!(held.get(3).is_none());
    }
}
