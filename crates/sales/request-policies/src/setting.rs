//! Values of Spin variables. An empty value has the same meaning as a variable that is not declared.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Maximum time until the head of a response. It is below the limit of the host, which drops an
/// instance that takes longer.
pub(crate) const TIMEOUT_MAX: Duration = Duration::from_secs(25);

/// A value that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{variable}` {reason}")]
pub struct SettingError {
    /// The name of the variable.
    pub variable: &'static str,
    /// What the value must be.
    pub reason: String,
}

impl SettingError {
    pub(crate) fn new(variable: &'static str, reason: impl Into<String>) -> Self {
        Self { variable, reason: reason.into() }
    }
}

/// A whole number in a range.
pub(crate) fn number<T>(
    variable: &'static str,
    text: &str,
    default: T,
    range: RangeInclusive<T>,
) -> Result<T, SettingError>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    let number = if text.is_empty() { Some(default) } else { text.parse().ok() };
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        let (min, max) = (range.start(), range.end());
        SettingError::new(variable, format!("must be a whole number from {min} to {max}"))
    })
}

/// A time in milliseconds, from 1.
pub(crate) fn milliseconds(
    variable: &'static str,
    text: &str,
    default: Duration,
    max: Duration,
) -> Result<Duration, SettingError> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    number(variable, text, ms(default), 1..=ms(max)).map(Duration::from_millis)
}

/// `true` or `false`, which is the default.
pub(crate) fn truth(variable: &'static str, text: &str) -> Result<bool, SettingError> {
    match text {
        "true" => Ok(true),
        "" | "false" => Ok(false),
        _ => Err(SettingError::new(variable, "must be `true` or `false`")),
    }
}

/// Items that are separated by commas or white space.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}
