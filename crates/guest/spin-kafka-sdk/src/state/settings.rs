//! The Spin variables of a component with a state.

use std::sync::OnceLock;

use spin_kafka_state::RetentionLimits;

use crate::bindings::state::spin::variables::variables::{Error, get};
use crate::{Failure, OrFail as _};

/// The limits on the number and the age of the stored fingerprints. They do not change during the
/// life of an instance.
pub async fn limits() -> Result<RetentionLimits, Failure> {
    static LIMITS: OnceLock<RetentionLimits> = OnceLock::new();
    if let Some(limits) = LIMITS.get() {
        return Ok(*limits);
    }
    let keys_max = find(RetentionLimits::KEYS_MAX_VARIABLE).await?;
    let window_s = find(RetentionLimits::WINDOW_VARIABLE).await?;
    let limits = RetentionLimits::parse(keys_max.as_deref(), window_s.as_deref()).or_fatal()?;
    Ok(*LIMITS.get_or_init(|| limits))
}

/// The value of a variable; None if the component does not declare it.
pub async fn find(name: &str) -> Result<Option<String>, Failure> {
    match get(name.to_owned()).await {
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(Error::InvalidName(text) | Error::Provider(text) | Error::Other(text)) => {
            Err(Failure::fatal(format_args!("Spin variable `{name}`: {text}")))
        }
    }
}
