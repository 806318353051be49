//! Requests that wait for the response of another one.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

/// The requests in progress whose responses others wait for. Dropping a `W` wakes the one that waits
/// for it.
#[derive(Debug)]
pub struct Flights<K, W> {
    waiting: RefCell<HashMap<K, Flight<W>>>,
}

#[derive(Debug)]
struct Flight<W> {
    waiting: Vec<W>,
    is_complete: Rc<Cell<bool>>,
}

/// Maximum number of requests that wait for one. Further ones do not wait.
const WAITING_MAX: usize = 1_000;

/// The part of a request.
#[derive(Debug)]
pub enum Join<'a, K: Eq + Hash + Clone, W, F> {
    /// It leads: the others wait for its response.
    Lead(Lead<'a, K, W>),
    /// It waits for this. The value then says whether the other one was completed; if not, it was
    /// cancelled.
    Wait(F, Rc<Cell<bool>>),
    /// There are too many that wait.
    Full,
}

/// A request that others wait for. They are woken when it is dropped.
#[derive(Debug)]
pub struct Lead<'a, K: Eq + Hash + Clone, W> {
    flights: &'a Flights<K, W>,
    key: K,
    is_complete: Rc<Cell<bool>>,
}

impl<K, W> Default for Flights<K, W> {
    fn default() -> Self {
        Self { waiting: RefCell::default() }
    }
}

impl<K: Eq + Hash + Clone, W> Flights<K, W> {
    /// Leads the requests with this key, or waits for the one that does. `wake_up` creates a pair: a
    /// value that wakes when it is dropped, and a future that waits for this.
    pub fn join<F>(&self, key: &K, wake_up: impl FnOnce() -> (W, F)) -> Join<'_, K, W, F> {
        if let Some(flight) = self.waiting.borrow_mut().get_mut(key) {
            if flight.waiting.len() >= WAITING_MAX {
                return Join::Full;
            }
            let (wake, woken) = wake_up();
            flight.waiting.push(wake);
            return Join::Wait(woken, flight.is_complete.clone());
        }
        Join::Lead(self.lead(key))
    }

    /// Leads the requests with this key; `None` if another one does already.
    pub fn try_lead(&self, key: &K) -> Option<Lead<'_, K, W>> {
        let is_led = self.waiting.borrow().contains_key(key);
        (!is_led).then(|| self.lead(key))
    }

    fn lead(&self, key: &K) -> Lead<'_, K, W> {
        let is_complete = Rc::new(Cell::new(false));
        let flight = Flight { waiting: Vec::new(), is_complete: is_complete.clone() };
        self.waiting.borrow_mut().insert(key.clone(), flight);
        Lead { flights: self, key: key.clone(), is_complete }
    }
}

impl<K: Eq + Hash + Clone, W> Lead<'_, K, W> {
    /// Wakes the others; the store has the response, if it is stored.
    pub fn complete(self) {
        self.is_complete.set(true);
    }
}

impl<K: Eq + Hash + Clone, W> Drop for Lead<'_, K, W> {
    fn drop(&mut self) {
        let flight = self.flights.waiting.borrow_mut().remove(&self.key);
        // Those that wait are woken when the map is no longer borrowed.
        drop(flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts how many were woken.
    struct Wake(Rc<Cell<u32>>);

    impl Drop for Wake {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
        }
    }

    #[test]
    fn one_request_leads_and_the_others_are_woken() {
        let woken = Rc::new(Cell::new(0));
        let flights = Flights::default();
        let join = |key: &'static str| flights.join(&key, || (Wake(woken.clone()), ()));
        for is_complete in [true, false] {
            woken.set(0);
            let Join::Lead(lead) = join("a") else { panic!("there is no other one") };
            let Join::Wait((), first) = join("a") else { panic!("another one leads") };
            let Join::Wait((), second) = join("a") else { panic!("another one leads") };
            assert!(matches!(join("b"), Join::Lead(_)));
            assert!(flights.try_lead(&"a").is_none());
            assert!(flights.try_lead(&"b").is_some());
            assert_eq!(woken.get(), 0);
            if is_complete {
                lead.complete()
            } else {
                drop(lead)
            }
            assert_eq!((woken.get(), first.get(), second.get()), (2, is_complete, is_complete));
        }
        let _lead = join("a");
        let waiting = (0..=WAITING_MAX).map(|_| join("a"));
        assert_eq!(waiting.filter(|join| matches!(join, Join::Full)).count(), 1);
    }
}
