//! The acknowledgements that a call waits for, of its records of one partition.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use crate::{Delivery, ProduceError};

/// A ticket. It is shared by the call and its waiting records.
pub type Shared<W> = Rc<Ticket<W>>;

/// The state of a call's records of one partition.
pub struct Ticket<W> {
    /// Distinguishes this ticket from others.
    pub id: u64,
    /// The index of the partition.
    pub partition: usize,
    /// When the call began.
    pub entered: Duration,
    state: RefCell<State<W>>,
}

struct State<W> {
    deliveries: Vec<Option<Delivery>>,
    missing: usize,
    failure: Option<ProduceError>,
    /// Wakes the call; None while it does not wait.
    wake: Option<W>,
    /// The call has its result or was cancelled.
    closed: bool,
}

impl<W> Ticket<W> {
    /// A ticket for this number of records.
    pub fn new(id: u64, partition: usize, entered: Duration, records: usize) -> Shared<W> {
        let state = State {
            deliveries: vec![None; records],
            missing: records,
            failure: None,
            wake: None,
            closed: false,
        };
        Rc::new(Self { id, partition, entered, state: RefCell::new(state) })
    }

    /// One of the records was written.
    pub fn delivered(&self, record: usize, delivery: Delivery) {
        let mut state = self.state.borrow_mut();
        let Some(slot @ None) = state.deliveries.get_mut(record) else { return };
        *slot = Some(delivery);
        state.missing -= 1;
        if state.missing == 0 {
            state.wake = None;
        }
    }

    /// One of the records failed, so the call need not wait for the others.
    pub fn failed(&self, error: impl FnOnce() -> ProduceError) {
        let mut state = self.state.borrow_mut();
        if state.missing > 0 && state.failure.is_none() {
            state.failure = Some(error());
            state.wake = None;
        }
    }

    /// Whether no call waits for the records any more.
    pub fn is_settled(&self) -> bool {
        let state = self.state.borrow();
        state.closed || state.missing == 0 || state.failure.is_some()
    }

    /// The result; None until it is complete.
    pub fn result(&self) -> Option<Result<Vec<Delivery>, ProduceError>> {
        let mut state = self.state.borrow_mut();
        match state.failure.take() {
            Some(error) => Some(Err(error)),
            None if state.missing > 0 => None,
            None => Some(Ok(state.deliveries.iter().copied().flatten().collect())),
        }
    }

    /// The call begins to wait.
    pub fn wait(&self, wake: W) {
        self.state.borrow_mut().wake = Some(wake);
    }

    /// Wakes the call. Returns whether it was waiting.
    pub fn wake(&self) -> bool {
        self.state.borrow_mut().wake.take().is_some()
    }

    /// The call has its result or was cancelled.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closed = true;
        state.wake = None;
    }
}
