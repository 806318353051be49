//! The configuration, which is read at the first request to an instance.

use std::cell::OnceCell;

use guest_http::{config, invalid_variable, value};
use intake::{IntakeError, Problem};
use request_events::{Config, Settings};

thread_local! {
    static CONFIG: OnceCell<&'static Config> = const { OnceCell::new() };
}

/// The configuration that the variables describe.
pub async fn current() -> Result<&'static Config, Problem> {
    config(&CONFIG, read).await
}

async fn read() -> Result<Config, IntakeError> {
    Config::new(&Settings {
        topic: &value("analytics_topic").await?,
        routes: &value("analytics_routes").await?,
    })
    .map_err(invalid_variable)
}
