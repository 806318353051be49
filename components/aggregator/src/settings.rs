//! The aggregator's Spin variables.

use std::sync::OnceLock;

use idempotency::Bounds;
use spin_sdk::variables::{Error, get};

use crate::bindings::spin_kafka::events::types::Failure;

/// What the variables say; it cannot change while the instance lives.
pub struct Settings {
    /// The group under whose name positions are stored: `kafka_group`.
    pub group: String,
    /// How much is remembered of what was counted.
    pub bounds: Bounds,
}

impl Settings {
    /// Reads the variables once.
    pub async fn get() -> Result<&'static Self, Failure> {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        if let Some(settings) = SETTINGS.get() {
            return Ok(settings);
        }
        let group = find("kafka_group").await?;
        let group = group.ok_or_else(|| fatal("Spin variable `kafka_group` is missing"))?;
        let keys_max = find(Bounds::KEYS_MAX_VARIABLE).await?;
        let window_s = find(Bounds::WINDOW_VARIABLE).await?;
        let bounds = Bounds::parse(keys_max.as_deref(), window_s.as_deref()).map_err(fatal)?;
        Ok(SETTINGS.get_or_init(|| Self { group, bounds }))
    }
}

/// A variable's value; none if the component declares no such variable.
async fn find(name: &str) -> Result<Option<String>, Failure> {
    match get(name).await {
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(error) => Err(fatal(format!("Spin variable `{name}`: {error}"))),
    }
}

fn fatal(reason: impl ToString) -> Failure {
    Failure::Fatal(reason.to_string())
}
