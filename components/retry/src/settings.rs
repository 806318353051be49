//! The configuration, which is read at the first request to an instance.

use std::cell::OnceCell;

use guest_http::{config, invalid_variable, value};
use intake::{IntakeError, Problem};
use request_policies::retry::{Policy, Settings};

thread_local! {
    static POLICY: OnceCell<&'static Policy> = const { OnceCell::new() };
}

/// The policy that the variables describe.
pub async fn policy() -> Result<&'static Policy, Problem> {
    config(&POLICY, read).await
}

async fn read() -> Result<Policy, IntakeError> {
    Policy::new(&Settings {
        attempts: &value("retry_attempts").await?,
        initial_interval_ms: &value("retry_initial_interval_ms").await?,
        statuses: &value("retry_statuses").await?,
        idempotency_key: &value("retry_idempotency_key").await?,
        budget_percent: &value("retry_budget_percent").await?,
        body_bytes_max: &value("retry_body_bytes_max").await?,
        after_max_ms: &value("retry_after_max_ms").await?,
        timeout_ms: &value("retry_timeout_ms").await?,
        attempt_timeout_ms: &value("retry_attempt_timeout_ms").await?,
    })
    .map_err(invalid_variable)
}
