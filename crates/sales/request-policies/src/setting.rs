//! Values of Spin variables. An empty value has the same meaning as a variable that is not declared.

use std::ops::RangeInclusive;
use std::time::Duration;

use http::StatusCode;

/// Maximum time until the head of a response, and for the body of a request. It is below the limit of the host, which drops an
/// instance that takes longer.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(25);

/// Maximum number of statuses in a list.
const STATUSES_MAX: usize = 16;

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

/// Statuses that are failures, separated by commas, or `none`. By default, they are those with which a
/// server says that it or another one does not work at the moment.
pub(crate) fn statuses(
    variable: &'static str,
    text: &str,
) -> Result<Vec<StatusCode>, SettingError> {
    let text = match text {
        "none" => return Ok(Vec::new()),
        "" => "502,503,504",
        text => text,
    };
    let error = || {
        let reason = format!("must be `none`, or at most {STATUSES_MAX} statuses from 400 to 599");
        SettingError::new(variable, reason)
    };
    let statuses = text.split(',').map(|status| match status.trim().parse() {
        Ok(status @ 400..=599) => StatusCode::from_u16(status).map_err(|_| error()),
        _ => Err(error()),
    });
    let statuses = statuses.collect::<Result<Vec<_>, _>>()?;
    if statuses.len() > STATUSES_MAX { Err(error()) } else { Ok(statuses) }
}
