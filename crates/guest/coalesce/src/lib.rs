//! Combines concurrent calls: calls that arrive during a round trip share the next one.
//!
//! There is no background task. One of the calls leads: it executes one round with the jobs of all
//! waiting calls. So the owner of a [`Rounds`] is idle when there is no call.
//!
//! In a guest, every call is a task of its own, and a Rust waker cannot wake another task. So the
//! caller provides the means by which one call waits for another.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Calls that share round trips. `J` is the job of a call, `R` its result. Dropping a `W` wakes the
/// call that waits for it.
pub struct Rounds<J, R, W> {
    waiting: RefCell<Vec<Job<J, R, W>>>,
    led: Cell<bool>,
}

/// The job of one call in a round. If it is dropped without an answer, its call gets no result.
pub struct Job<J, R, W> {
    /// What is to be done.
    pub job: J,
    place: Rc<Place<R, W>>,
}

/// The state that a job shares with its waiting call.
struct Place<R, W> {
    /// The result, once the job is over; `Some(None)` means that the job was dropped without an
    /// answer.
    over: Cell<Option<Option<R>>>,
    wake: Cell<Option<W>>,
}

impl<J, R, W> Default for Rounds<J, R, W> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), led: Cell::default() }
    }
}

impl<J, R, W> Rounds<J, R, W> {
    /// Executes a job, in a round that is led by this call or by another one.
    ///
    /// `lead` takes the jobs of one round when it can process them, and processes them. Rounds are
    /// executed one after the other. `wake_up` creates a pair: a value that wakes when it is
    /// dropped, and a future that waits for this.
    ///
    /// Returns None if the leading call ended before the job was answered (the job may have been
    /// started), or if `lead` took no jobs.
    pub async fn join<Woken: Future<Output = ()>>(
        &self,
        job: J,
        wake_up: impl Fn() -> (W, Woken),
        lead: impl AsyncFn(&Turn<'_, J, R, W>),
    ) -> Option<R> {
        let call = Call::enter(self, job);
        loop {
            if let Some(result) = call.place.over.take() {
                return result;
            }
            match Turn::take(self) {
                Some(turn) => {
                    lead(&turn).await;
                    // `lead` took no jobs; another attempt could loop for ever.
                    if call.position().is_some() {
                        return None;
                    }
                }
                None => {
                    let (wake, woken) = wake_up();
                    call.place.wake.set(Some(wake));
                    woken.await;
                }
            }
        }
    }

    /// If no call leads, lets the waiting call that arrived last lead, because it probably has the
    /// most time left.
    fn pass_on(&self) {
        if !self.led.get() {
            let next = self.waiting.borrow().last().map(|job| job.place.clone());
            drop(next.and_then(|place| place.wake.take()));
        }
    }
}

impl<J, R, W> Job<J, R, W> {
    /// Passes the result to the call.
    pub fn answer(self, result: R) {
        self.place.over.set(Some(Some(result)));
    }
}

impl<J, R, W> Drop for Job<J, R, W> {
    fn drop(&mut self) {
        // Keeps an answer that was given; otherwise the call learns that there is none.
        let over = self.place.over.take();
        self.place.over.set(over.or(Some(None)));
        drop(self.place.wake.take());
    }
}

/// A call in progress. Its job is removed when the call ends for any reason, including
/// cancellation.
struct Call<'a, J, R, W> {
    rounds: &'a Rounds<J, R, W>,
    place: Rc<Place<R, W>>,
}

impl<'a, J, R, W> Call<'a, J, R, W> {
    fn enter(rounds: &'a Rounds<J, R, W>, job: J) -> Self {
        let place = Rc::new(Place { over: Cell::new(None), wake: Cell::new(None) });
        rounds.waiting.borrow_mut().push(Job { job, place: place.clone() });
        Self { rounds, place }
    }

    /// The index of its job among the waiting ones; None if the job was taken.
    fn position(&self) -> Option<usize> {
        let waiting = self.rounds.waiting.borrow();
        waiting.iter().position(|job| Rc::ptr_eq(&job.place, &self.place))
    }
}

impl<J, R, W> Drop for Call<'_, J, R, W> {
    fn drop(&mut self) {
        let ours = self.position().map(|at| self.rounds.waiting.borrow_mut().remove(at));
        if ours.is_some() {
            // This call may have been chosen to lead.
            self.rounds.pass_on();
        }
    }
}

/// The right of a call to lead. When it is dropped, another call gets it.
pub struct Turn<'a, J, R, W>(&'a Rounds<J, R, W>);

impl<'a, J, R, W> Turn<'a, J, R, W> {
    fn take(rounds: &'a Rounds<J, R, W>) -> Option<Self> {
        (!rounds.led.replace(true)).then(|| Self(rounds))
    }

    /// Takes the jobs of all waiting calls.
    pub fn jobs(&self) -> Vec<Job<J, R, W>> {
        self.0.waiting.take()
    }
}

impl<J, R, W> Drop for Turn<'_, J, R, W> {
    fn drop(&mut self) {
        self.0.led.set(false);
        self.0.pass_on();
    }
}
