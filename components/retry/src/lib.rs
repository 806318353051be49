//! HTTP middleware: sends a request again if the component behind does not answer it, or answers that
//! it cannot handle it.

mod settings;

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use guest_http::{Buffered, FullBody, Headers, Outline};
use guest_http::{buffer, head, is_connection_failure, next, problem};
use guest_http::{report_retry, send_answer, timed_out};
use guest_tasks::{now_ms, within};
use http::{HeaderValue, StatusCode, header};
use intake::RetryBudget;
use request_policies::retry::{Failure, Policy};
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

guest_http::proxy!(handle);

thread_local! {
    static BUDGET: RefCell<Option<RetryBudget>> = const { RefCell::new(None) };
}

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let policy = match settings::policy().await {
        Ok(policy) => policy,
        Err(fault) => return send_answer(problem(&fault)),
    };
    with_budget(policy, RetryBudget::deposit);
    let head = head(&request, Headers::All)?;
    if !policy.is_repeatable(head.method(), head.headers()) {
        return next(request).await;
    }
    match buffer(request, head.headers(), policy.body_bytes_max()).await? {
        Buffered::Streamed(request) => next(request).await,
        Buffered::Complete(outline, body) => repeat(policy, &outline, &body).await,
    }
}

/// Sends the request until there is an answer that is not a failure, or no more attempt is permitted.
async fn repeat(
    policy: &Policy,
    outline: &Outline,
    body: &FullBody,
) -> Result<Response, ErrorCode> {
    let began_ms = now_ms();
    let elapsed = || Duration::from_millis(now_ms().saturating_sub(began_ms));
    let mut attempts = 0;
    loop {
        attempts += 1;
        // Waiting may take longer than asked for.
        let Some(limit) = policy.attempt_limit(elapsed()) else {
            return send_answer(problem(&timed_out()));
        };
        let request = outline.with_body(body)?;
        let outcome = match within(limit, next(request)).await {
            Some(Ok(response)) => Outcome::Answered(response),
            Some(Err(error)) => Outcome::Failed(error),
            None => Outcome::TimedOut,
        };
        if !outcome.is_failure(policy) {
            return outcome.into_result();
        }
        let retry_after = outcome.retry_after();
        let failure = Failure { attempts, elapsed: elapsed(), retry_after: retry_after.as_ref() };
        let Some(pause) = policy.pause(&failure, SystemTime::now(), fastrand::f64()) else {
            return outcome.into_result();
        };
        let has_budget = with_budget(policy, RetryBudget::withdraw);
        report_retry("a request", &outcome, has_budget);
        if !has_budget {
            return outcome.into_result();
        }
        drop(outcome);
        spin_sdk::time::sleep(pause).await;
    }
}

fn with_budget<T>(policy: &Policy, change: impl FnOnce(&mut RetryBudget) -> T) -> T {
    BUDGET.with_borrow_mut(|budget| change(budget.get_or_insert_with(|| policy.budget())))
}

/// How an attempt ended.
enum Outcome {
    Answered(Response),
    Failed(ErrorCode),
    TimedOut,
}

impl Outcome {
    fn is_failure(&self, policy: &Policy) -> bool {
        match self {
            Self::Answered(response) => StatusCode::from_u16(response.get_status_code())
                .is_ok_and(|status| policy.is_failure(status)),
            Self::Failed(error) => is_connection_failure(error),
            Self::TimedOut => true,
        }
    }

    fn retry_after(&self) -> Option<HeaderValue> {
        let Self::Answered(response) = self else { return None };
        let values = response.get_headers().get(header::RETRY_AFTER.as_str());
        HeaderValue::from_bytes(values.first()?).ok()
    }

    fn into_result(self) -> Result<Response, ErrorCode> {
        match self {
            Self::Answered(response) => Ok(response),
            Self::Failed(error) => Err(error),
            Self::TimedOut => send_answer(problem(&timed_out())),
        }
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answered(response) => write!(f, "status {}", response.get_status_code()),
            Self::Failed(error) => write!(f, "{error}"),
            Self::TimedOut => f.write_str("no answer in time"),
        }
    }
}
