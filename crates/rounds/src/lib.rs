//! Calls that come while a round trip is under way share the next one.
//!
//! Nothing runs but the calls themselves: one leads a round with the jobs of all that wait. So
//! whoever holds them is at rest when no call is there.
//!
//! A guest's calls are tasks of their own, and Rust's wakers do not reach from one to another:
//! how a call waits for another comes from outside.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// Calls that share round trips. `J` is what a call wants done, `R` what it gets for it; dropping
/// a `W` wakes the call that waits for that.
pub struct Rounds<J, R, W> {
    waiting: RefCell<Vec<Job<J, R, W>>>,
    led: Cell<bool>,
}

/// One call's job in a round. Dropped without an answer it leaves its call with none.
pub struct Job<J, R, W> {
    /// What is to be done.
    pub job: J,
    place: Rc<Place<R, W>>,
}

/// Where a call waits.
struct Place<R, W> {
    /// What came of the job, if it is over; with none in it, it never got an answer.
    over: Cell<Option<Option<R>>>,
    wake: Cell<Option<W>>,
}

impl<J, R, W> Default for Rounds<J, R, W> {
    fn default() -> Self {
        Self { waiting: RefCell::default(), led: Cell::default() }
    }
}

impl<J, R, W> Rounds<J, R, W> {
    /// Gets a job done, in a round that this call leads or another one.
    ///
    /// `lead` takes the jobs of one round when it is ready for them, and does them; rounds come
    /// one after the other. `wake_up` makes a wake-up: one end to drop, and one to wait for that.
    ///
    /// None if the call that led ended before the job was done, which may have been begun; or if
    /// `lead` took no jobs.
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

    /// Lets a call that waits lead, unless one does: the last that came, for it is likely to
    /// have the most time.
    fn pass_on(&self) {
        if !self.led.get() {
            let next = self.waiting.borrow().last().map(|job| job.place.clone());
            drop(next.and_then(|place| place.wake.take()));
        }
    }
}

impl<J, R, W> Job<J, R, W> {
    /// Answers the call.
    pub fn answer(self, result: R) {
        self.place.over.set(Some(Some(result)));
    }
}

impl<J, R, W> Drop for Job<J, R, W> {
    fn drop(&mut self) {
        let over = self.place.over.take();
        self.place.over.set(over.or(Some(None)));
        drop(self.place.wake.take());
    }
}

/// A call, from its coming to its end, whatever ends it.
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

    /// Where its job stands among those that wait, if it does.
    fn position(&self) -> Option<usize> {
        let waiting = self.rounds.waiting.borrow();
        waiting.iter().position(|job| Rc::ptr_eq(&job.place, &self.place))
    }
}

impl<J, R, W> Drop for Call<'_, J, R, W> {
    fn drop(&mut self) {
        let ours = self.position().map(|at| self.rounds.waiting.borrow_mut().remove(at));
        if ours.is_some() {
            // It may have been this one's turn to lead.
            self.rounds.pass_on();
        }
    }
}

/// A call's turn to lead; whatever ends it, another call gets it.
pub struct Turn<'a, J, R, W>(&'a Rounds<J, R, W>);

impl<'a, J, R, W> Turn<'a, J, R, W> {
    fn take(rounds: &'a Rounds<J, R, W>) -> Option<Self> {
        (!rounds.led.replace(true)).then(|| Self(rounds))
    }

    /// The jobs of all that wait.
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
