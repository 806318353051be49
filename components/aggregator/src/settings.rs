//! The aggregator's Spin variables.

use std::fmt::Display;
use std::sync::OnceLock;

use aggregate::{ExistingCounts, NAMES, Namespace, RetentionLimits};
use spin_sdk::variables::{Error, get as variable};

use crate::bindings::spin_kafka::events::types::Failure;

/// The Spin variable with the start of the names of all keys.
const KEY_PREFIX: &str = "key_prefix";

/// The settings. They do not change during the life of an instance.
pub struct Settings {
    /// The limits on the number and the age of the stored fingerprints.
    pub limits: RetentionLimits,
    /// The names of the keys.
    pub namespace: Namespace,
    /// What happens with counts of another program.
    pub existing_counts: ExistingCounts,
}

/// The settings, which are read once.
pub async fn get() -> Result<&'static Settings, Failure> {
    static SETTINGS: OnceLock<Settings> = OnceLock::new();
    if let Some(settings) = SETTINGS.get() {
        return Ok(settings);
    }
    let keys_max = find(RetentionLimits::KEYS_MAX_VARIABLE).await?;
    let window_s = find(RetentionLimits::WINDOW_VARIABLE).await?;
    let limits = RetentionLimits::parse(keys_max.as_deref(), window_s.as_deref());
    let prefix = find(KEY_PREFIX).await?.unwrap_or_default();
    let namespace = Namespace::fixed(&prefix, &NAMES);
    let existing_counts = find(ExistingCounts::VARIABLE).await?;
    let settings = Settings {
        limits: limits.map_err(fatal)?,
        namespace: namespace
            .map_err(|error| fatal(format_args!("Spin variable `{KEY_PREFIX}`: {error}")))?,
        existing_counts: ExistingCounts::parse(existing_counts.as_deref()).map_err(fatal)?,
    };
    Ok(SETTINGS.get_or_init(|| settings))
}

fn fatal(error: impl Display) -> Failure {
    Failure::Fatal(error.to_string())
}

/// The value of a variable; None if the component does not declare it.
async fn find(name: &str) -> Result<Option<String>, Failure> {
    match variable(name).await {
        Ok(value) => Ok(Some(value)),
        Err(Error::Undefined(_)) => Ok(None),
        Err(error) => Err(fatal(format_args!("Spin variable `{name}`: {error}"))),
    }
}
