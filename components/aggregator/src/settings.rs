//! The aggregator's Spin variables.

use std::sync::OnceLock;

use idempotency::RetentionLimits;
use spin_sdk::variables::{Error, get};

use crate::bindings::spin_kafka::events::types::Failure;

/// The values of the variables. They do not change during the life of an instance.
pub struct Settings {
    /// The consumer group for which positions are stored: `kafka_group`.
    pub group: String,
    /// The limits on the number and the age of the stored fingerprints.
    pub limits: RetentionLimits,
}

impl Settings {
    /// Reads the variables on the first call.
    pub async fn get() -> Result<&'static Self, Failure> {
        static SETTINGS: OnceLock<Settings> = OnceLock::new();
        if let Some(settings) = SETTINGS.get() {
            return Ok(settings);
        }
        let group = find("kafka_group").await?;
        let group = group.ok_or_else(|| fatal("Spin variable `kafka_group` is missing"))?;
        let keys_max = find(RetentionLimits::KEYS_MAX_VARIABLE).await?;
        let window_s = find(RetentionLimits::WINDOW_VARIABLE).await?;
        let limits =
            RetentionLimits::parse(keys_max.as_deref(), window_s.as_deref()).map_err(fatal)?;
        Ok(SETTINGS.get_or_init(|| Self { group, limits }))
    }
}

/// The value of a variable; None if the component does not declare it.
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
