//! The aggregator's Spin variables.

use std::sync::OnceLock;

use idempotency::RetentionLimits;
use spin_sdk::variables::{Error, get};

use crate::bindings::spin_kafka::events::types::Failure;

/// The limits on the number and the age of the stored fingerprints. They do not change during the
/// life of an instance.
pub async fn limits() -> Result<RetentionLimits, Failure> {
    static LIMITS: OnceLock<RetentionLimits> = OnceLock::new();
    if let Some(limits) = LIMITS.get() {
        return Ok(*limits);
    }
    let keys_max = find(RetentionLimits::KEYS_MAX_VARIABLE).await?;
    let window_s = find(RetentionLimits::WINDOW_VARIABLE).await?;
    let limits = RetentionLimits::parse(keys_max.as_deref(), window_s.as_deref());
    let limits = limits.map_err(|error| Failure::Fatal(error.to_string()))?;
    Ok(*LIMITS.get_or_init(|| limits))
}

/// The value of a variable; None if the component does not declare it.
async fn find(name: &str) -> Result<Option<String>, Failure> {
    match get(name).await {
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(error) => Err(Failure::Fatal(format!("Spin variable `{name}`: {error}"))),
    }
}
