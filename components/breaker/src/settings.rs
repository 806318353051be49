//! The configuration, which is read at the first request to an instance.

use std::cell::OnceCell;

use guest_http::{config, invalid_variable, value};
use intake::{IntakeError, Problem};
use request_policies::breaker::{Config, Settings};

thread_local! {
    static CONFIG: OnceCell<&'static Config> = const { OnceCell::new() };
}

/// The configuration that the variables describe.
pub async fn current() -> Result<&'static Config, Problem> {
    config(&CONFIG, read).await
}

async fn read() -> Result<Config, IntakeError> {
    Config::new(&Settings {
        expression: &value("breaker_expression").await?,
        window_s: &value("breaker_window_s").await?,
        requests_min: &value("breaker_requests_min").await?,
        fallback_duration_s: &value("breaker_fallback_duration_s").await?,
        trials: &value("breaker_trials").await?,
        timeout_ms: &value("breaker_timeout_ms").await?,
        status_path: &value("breaker_status_path").await?,
    })
    .map_err(invalid_variable)
}
