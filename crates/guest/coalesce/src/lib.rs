//! Combines concurrent calls: calls that arrive during a round trip share the next one.
//!
//! There is no background task. One of the calls leads: it executes one round with the jobs of all
//! waiting calls. So the owner of a [`Coalescer`] is idle when there is no call.
//!
//! In a guest, every call is a separate task, and a Rust waker cannot wake another task. So the
//! caller provides the means by which one call waits for another.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Combines the jobs of concurrent calls into rounds. `J` is the job of a call, `R` its result.
/// Dropping a `W` wakes the call that waits for it.
pub struct Coalescer<J, R, W> {
    waiting: RefCell<Vec<Job<J, R, W>>>,
    has_leader: Cell<bool>,
}

/// The job of one call in a round. If it is dropped before it is completed, its call gets no
/// result.
pub struct Job<J, R, W> {
    /// What is to be done.
    pub job: J,
    state: Rc<JobState<R, W>>,
}

/// The state that a job shares with its waiting call.
struct JobState<R, W> {
    outcome: Cell<Outcome<R>>,
    wake: Cell<Option<W>>,
}

/// What became of a job.
enum Outcome<R> {
    /// The job waits, or is being executed.
    Pending,
    /// The job was completed with this result.
    Completed(R),
    /// The job was dropped without a result, or its result was taken.
    Dropped,
}

impl<J, R, W> Default for Coalescer<J, R, W> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), has_leader: Cell::default() }
    }
}

impl<J, R, W> Coalescer<J, R, W> {
    /// Executes a job, in a round that is led by this call or by another one.
    ///
    /// `run_round` takes the jobs of one round when it can process them, and processes them. Rounds
    /// are executed one after the other. `wake_up` creates a pair: a value that wakes when it is
    /// dropped, and a future that waits for this.
    ///
    /// Returns None if the leading call ended before the job was completed (the job may have been
    /// started), or if `run_round` took no jobs.
    pub async fn submit<Woken: Future<Output = ()>>(
        &self,
        job: J,
        wake_up: impl Fn() -> (W, Woken),
        run_round: impl AsyncFn(&Leadership<'_, J, R, W>),
    ) -> Option<R> {
        let call = Call::new(self, job);
        loop {
            match call.state.outcome.replace(Outcome::Dropped) {
                Outcome::Completed(result) => return Some(result),
                Outcome::Dropped => return None,
                Outcome::Pending => call.state.outcome.set(Outcome::Pending),
            }
            match Leadership::take(self) {
                Some(leadership) => {
                    run_round(&leadership).await;
                    // `run_round` took no jobs; another attempt could loop for ever.
                    if call.position().is_some() {
                        return None;
                    }
                }
                None => {
                    let (wake, woken) = wake_up();
                    call.state.wake.set(Some(wake));
                    woken.await;
                }
            }
        }
    }

    /// If no call leads, wakes the waiting call that arrived last to lead, because it probably has
    /// the most time left.
    fn wake_next_leader(&self) {
        if !self.has_leader.get() {
            let next = self.waiting.borrow().last().map(|job| job.state.clone());
            drop(next.and_then(|state| state.wake.take()));
        }
    }
}

impl<J, R, W> Job<J, R, W> {
    /// Passes the result to the call.
    pub fn complete(self, result: R) {
        self.state.outcome.set(Outcome::Completed(result));
    }
}

impl<J, R, W> Drop for Job<J, R, W> {
    /// Wakes the call, with the result if there is one.
    fn drop(&mut self) {
        let outcome = self.state.outcome.replace(Outcome::Dropped);
        if matches!(outcome, Outcome::Completed(_)) {
            self.state.outcome.set(outcome);
        }
        drop(self.state.wake.take());
    }
}

/// A call in progress. Its job is removed when the call ends for any reason, including
/// cancellation.
struct Call<'a, J, R, W> {
    coalescer: &'a Coalescer<J, R, W>,
    state: Rc<JobState<R, W>>,
}

impl<'a, J, R, W> Call<'a, J, R, W> {
    fn new(coalescer: &'a Coalescer<J, R, W>, job: J) -> Self {
        let state =
            Rc::new(JobState { outcome: Cell::new(Outcome::Pending), wake: Cell::new(None) });
        coalescer.waiting.borrow_mut().push(Job { job, state: state.clone() });
        Self { coalescer, state }
    }

    /// The index of its job among the waiting ones; None if the job was taken.
    fn position(&self) -> Option<usize> {
        let waiting = self.coalescer.waiting.borrow();
        waiting.iter().position(|job| Rc::ptr_eq(&job.state, &self.state))
    }
}

impl<J, R, W> Drop for Call<'_, J, R, W> {
    fn drop(&mut self) {
        if let Some(index) = self.position() {
            // Dropped at the end of this block, when the list is no longer borrowed.
            let _job = self.coalescer.waiting.borrow_mut().remove(index);
            // This call may have been woken to lead.
            self.coalescer.wake_next_leader();
        }
    }
}

/// The right of a call to lead. When it is dropped, another call gets it.
pub struct Leadership<'a, J, R, W>(&'a Coalescer<J, R, W>);

impl<'a, J, R, W> Leadership<'a, J, R, W> {
    fn take(coalescer: &'a Coalescer<J, R, W>) -> Option<Self> {
        (!coalescer.has_leader.replace(true)).then(|| Self(coalescer))
    }

    /// Takes the jobs of all waiting calls.
    pub fn jobs(&self) -> Vec<Job<J, R, W>> {
        self.0.waiting.take()
    }
}

impl<J, R, W> Drop for Leadership<'_, J, R, W> {
    fn drop(&mut self) {
        self.0.has_leader.set(false);
        self.0.wake_next_leader();
    }
}
