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
    /// The result of each record that has one.
    results: Vec<Option<Result<Delivery, ProduceError>>>,
    missing: usize,
    /// Wakes the call; None while it does not wait.
    wake: Option<W>,
    /// The call has its results or was cancelled.
    closed: bool,
}

impl<W> State<W> {
    /// Sets the result of a record, unless it has one.
    fn settle(&mut self, record: usize, result: impl FnOnce() -> Result<Delivery, ProduceError>) {
        let Some(slot @ None) = self.results.get_mut(record) else { return };
        *slot = Some(result());
        self.missing -= 1;
        if self.missing == 0 {
            self.wake = None;
        }
    }
}

impl<W> Ticket<W> {
    /// A ticket for this number of records.
    pub fn new(id: u64, partition: usize, entered: Duration, records: usize) -> Shared<W> {
        let results = vec![None; records];
        let state = State { results, missing: records, wake: None, closed: false };
        Rc::new(Self { id, partition, entered, state: RefCell::new(state) })
    }

    /// A record was written.
    pub fn delivered(&self, record: usize, delivery: Delivery) {
        self.state.borrow_mut().settle(record, || Ok(delivery));
    }

    /// A record failed.
    pub fn failed(&self, record: usize, error: impl FnOnce() -> ProduceError) {
        self.state.borrow_mut().settle(record, || Err(error()));
    }

    /// All records without a result failed.
    pub fn fail_all(&self, error: &ProduceError) {
        let mut state = self.state.borrow_mut();
        for record in 0..state.results.len() {
            state.settle(record, || Err(error.clone()));
        }
    }

    /// Whether no call waits for the record any more.
    pub fn is_settled(&self, record: usize) -> bool {
        let state = self.state.borrow();
        state.closed || state.results.get(record).is_none_or(Option::is_some)
    }

    /// The results in the order of the records; None until they are complete.
    pub fn results(&self) -> Option<Vec<Result<Delivery, ProduceError>>> {
        let state = self.state.borrow();
        (state.missing == 0).then(|| state.results.iter().flatten().cloned().collect())
    }

    /// The call begins to wait.
    pub fn wait(&self, wake: W) {
        self.state.borrow_mut().wake = Some(wake);
    }

    /// Wakes the call. Returns whether it was waiting.
    pub fn wake(&self) -> bool {
        self.state.borrow_mut().wake.take().is_some()
    }

    /// The call has its results or was cancelled.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        state.closed = true;
        state.wake = None;
    }
}
