//! The configuration, which is read at the first request to an instance.

use std::cell::OnceCell;

use guest_http::{config, invalid_variable, value};
use intake::{IntakeError, Problem};
use request_policies::balance::{Config, Settings};

thread_local! {
    static CONFIG: OnceCell<&'static Config> = const { OnceCell::new() };
}

/// The configuration that the variables describe.
pub async fn current() -> Result<&'static Config, Problem> {
    config(&CONFIG, read).await
}

async fn read() -> Result<Config, IntakeError> {
    Config::new(&Settings {
        upstreams: &value("balance_upstreams").await?,
        strategy: &value("balance_strategy").await?,
        sticky: &value("balance_sticky").await?,
        failure_statuses: &value("balance_failure_statuses").await?,
        failures_max: &value("balance_failures_max").await?,
        ejection_s: &value("balance_ejection_s").await?,
        timeout_ms: &value("balance_timeout_ms").await?,
        trusted_proxies: &value("balance_trusted_proxies").await?,
    })
    .map_err(invalid_variable)
}
