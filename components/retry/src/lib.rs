//! HTTP middleware: sends a request again if the component behind does not answer it, or answers that
//! it cannot handle it.

mod settings;

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use guest_http::{Intercepted, Kept, NextResponse, Outcome, Repeatable};
use guest_http::{is_connection_failure, problem, report_retry, timed_out};
use guest_tasks::now_ms;
use http::{HeaderValue, StatusCode, header};
use intake::RetryBudget;
use request_policies::retry::{Failure, Policy};
use spin_sdk::wasip3::http::types::ErrorCode;

guest_http::interceptor!(handle);

thread_local! {
    static BUDGET: RefCell<Option<RetryBudget>> = const { RefCell::new(None) };
}

async fn handle(request: Intercepted) -> Result<Outcome, ErrorCode> {
    let policy = match settings::current().await {
        Ok(policy) => policy,
        Err(fault) => return Ok(problem(&fault).into()),
    };
    with_budget(policy, RetryBudget::deposit);
    let head = request.head()?;
    if !policy.is_repeatable(head.method(), head.headers()) {
        return Ok(request.pass().await?.into());
    }
    match request.keep(&head, policy.body_bytes_max()).await? {
        Kept::Once(request) => Ok(request.pass().await?.into()),
        Kept::Repeatable(request) => repeat(policy, &request).await,
    }
}

/// Sends the request until there is an answer that is not a failure, or no more attempt is permitted.
async fn repeat(policy: &Policy, request: &Repeatable) -> Result<Outcome, ErrorCode> {
    let began_ms = now_ms();
    let elapsed = || Duration::from_millis(now_ms().saturating_sub(began_ms));
    let mut attempts = 0;
    let mut pause = Duration::ZERO;
    loop {
        attempts += 1;
        let Some(limit) = policy.attempt_limit(elapsed() + pause) else {
            return Ok(problem(&timed_out()).into());
        };
        let attempt = match request.send_after(pause, limit).await {
            Some(Ok(response)) => Attempt::Answered(response),
            Some(Err(error)) => Attempt::Failed(error),
            None => Attempt::TimedOut,
        };
        if !attempt.is_failure(policy) {
            return attempt.into_result();
        }
        let retry_after = attempt.retry_after();
        let failure = Failure { attempts, elapsed: elapsed(), retry_after: retry_after.as_ref() };
        let Some(next_pause) = policy.pause(&failure, SystemTime::now(), fastrand::f64()) else {
            return attempt.into_result();
        };
        let has_budget = with_budget(policy, RetryBudget::withdraw);
        report_retry("a request", &attempt, has_budget);
        if !has_budget {
            return attempt.into_result();
        }
        pause = next_pause;
    }
}

fn with_budget<T>(policy: &Policy, change: impl FnOnce(&mut RetryBudget) -> T) -> T {
    BUDGET.with_borrow_mut(|budget| change(budget.get_or_insert_with(|| policy.budget())))
}

/// How an attempt ended.
enum Attempt {
    Answered(NextResponse),
    Failed(ErrorCode),
    TimedOut,
}

impl Attempt {
    fn is_failure(&self, policy: &Policy) -> bool {
        match self {
            Self::Answered(response) => StatusCode::from_u16(response.status())
                .is_ok_and(|status| policy.is_failure(status)),
            Self::Failed(error) => is_connection_failure(error),
            Self::TimedOut => true,
        }
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        let Self::Answered(response) = self else { return None };
        response.header(&header::RETRY_AFTER)
    }

    fn into_result(self) -> Result<Outcome, ErrorCode> {
        match self {
            Self::Answered(response) => Ok(response.into()),
            Self::Failed(error) => Err(error),
            Self::TimedOut => Ok(problem(&timed_out()).into()),
        }
    }
}

impl std::fmt::Display for Attempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered(response) => write!(f, "status {}", response.status()),
            Self::Failed(error) => write!(f, "{error}"),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}
