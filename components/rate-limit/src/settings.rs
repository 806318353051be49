//! The configuration, which is read at the first request to an instance.

use std::cell::{OnceCell, RefCell};

use guest_http::{config, invalid_variable, value};
use guest_valkey::Client;
use intake::{CircuitBreaker, IntakeError, Problem};
use rate_limit_buckets::{Key, Limit, Settings, WithoutStore, prefix, timeout_ms};

use crate::shared::Shared;

const URL: &str = "rate_limit_valkey_url";

/// The configuration.
pub struct Config {
    pub limit: Limit,
    pub key: Key,
    /// The buckets in Valkey; `None` if they are those of the instance.
    pub shared: Option<Shared>,
}

thread_local! {
    static CONFIG: OnceCell<&'static Config> = const { OnceCell::new() };
}

/// The configuration.
pub async fn settings() -> Result<&'static Config, Problem> {
    config(&CONFIG, read).await
}

async fn read() -> Result<Config, IntakeError> {
    let settings = Settings {
        average: &value("rate_limit_average").await?,
        period_s: &value("rate_limit_period_s").await?,
        burst: &value("rate_limit_burst").await?,
    };
    let limit = Limit::new(&settings).map_err(invalid_variable)?;
    let key = Key::parse(&value("rate_limit_key").await?).map_err(invalid_variable)?;
    let prefix_value = value("rate_limit_valkey_prefix").await?;
    let prefix = prefix(&prefix_value).map_err(invalid_variable)?.into();
    let timeout_ms = timeout_ms(&value("rate_limit_valkey_timeout_ms").await?);
    let timeout_ms = timeout_ms.map_err(invalid_variable)?;
    let without = value("rate_limit_without_store").await?;
    let without = WithoutStore::parse(&without).map_err(invalid_variable)?;
    let client = Client::configured(URL, &value(URL).await?).map_err(invalid_variable)?;
    let shared = client.map(|client| Shared {
        client,
        prefix,
        timeout_ms,
        without,
        breaker: RefCell::new(CircuitBreaker::default()),
    });
    Ok(Config { limit, key, shared })
}
