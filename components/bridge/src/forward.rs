//! The policies for calls of the next hop. Their state lasts as long as the instance.

use std::cell::RefCell;
use std::time::Duration;

use guest_http::{Variable, report_retry};
use guest_tasks::{now_ms, within};
use intake::hop_times::HopTime;
use intake::request::Context;
use intake::{ATTEMPTS_MAX, CircuitBreaker, Deadline, IntakeError, RetryBudget};
use sale::Sale;

use crate::bindings::doorbuster::sales::intake as next_hop;

static DEADLINE: Variable = Variable::new(Deadline::VARIABLE);

const CIRCUIT_OPEN: &str = "circuit open: the next hop does not answer; try again later";

/// Pause before a retry.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

thread_local! {
    static BREAKER: RefCell<CircuitBreaker> = RefCell::default();
    static BUDGET: RefCell<RetryBudget> = RefCell::default();
}

/// Passes a sale to the next hop. Returns the times of the later hops.
pub async fn forward(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
    let deadline = Deadline::parse(DEADLINE.find().await?.unwrap_or_default())?;
    if !BREAKER.with_borrow_mut(|breaker| breaker.allow(now_ms)) {
        return Err(IntakeError::Unavailable(CIRCUIT_OPEN.into()));
    }
    BUDGET.with_borrow_mut(RetryBudget::deposit);
    let work = try_again(sale, context);
    let result = match deadline {
        // A timer takes about as much time as the rest of this component.
        Some(deadline) => {
            within(deadline.duration(), work).await.unwrap_or_else(|| Err(deadline.passed()))
        }
        // The next hop has its own limits, and only answers that come at once are tried again.
        None => work.await,
    };
    BREAKER.with_borrow_mut(|breaker| match &result {
        Err(IntakeError::Unavailable(_) | IntakeError::TimedOut(_)) => breaker.failed(now_ms()),
        _ => breaker.succeeded(),
    });
    result
}

/// Calls the next hop until the sale is accepted, is rejected permanently, or may have been
/// written. In the last case the client must decide, because only the client knows whether to send
/// the sale again.
async fn try_again(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
    let mut tries = 1;
    loop {
        let error = match next_hop::accept(sale.clone(), context.clone()).await {
            Ok(times) => return Ok(times),
            Err(error) => error,
        };
        let may_retry = error.is_retriable() && error.is_surely_unwritten() && tries < ATTEMPTS_MAX;
        if !may_retry {
            return Err(error);
        }
        let has_budget = BUDGET.with_borrow_mut(RetryBudget::withdraw);
        report_retry("a sale", &error, has_budget);
        if !has_budget {
            return Err(error);
        }
        tries += 1;
        spin_sdk::time::sleep(RETRY_PAUSE).await;
    }
}
