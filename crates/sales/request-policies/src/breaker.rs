//! When requests are refused because the service behind fails or is slow.

mod circuit;
mod counts;
mod expression;
mod metrics;

use std::time::Duration;

use component_settings::{SettingError, milliseconds, number};

pub use circuit::{Admission, Circuit, Refusal, State, Ticket};
pub use counts::Sample;
pub use expression::Expression;

use crate::setting::TIMEOUT_MAX;

/// Opens if more than half of the requests fail.
const EXPRESSION: &str = "NetworkErrorRatio() > 0.5 || ResponseCodeRatio(500, 600, 0, 600) > 0.5";

/// The default of `breaker_timeout_ms`. It is longer than that of `balance` and shorter than that of
/// `retry`, which may be behind and before it: of several limits that are equal, only the outer one
/// ends a request, and the others never count a failure.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(6);

/// The values of the Spin variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// `breaker_expression`: when the circuit opens.
    pub expression: &'a str,
    /// `breaker_window_s`: the time whose requests the expression is about.
    pub window_s: &'a str,
    /// `breaker_requests_min`: the requests in this time without which it does not open.
    pub requests_min: &'a str,
    /// `breaker_fallback_duration_s`: the time for which it stays open.
    pub fallback_duration_s: &'a str,
    /// `breaker_trials`: the requests that decide whether it is closed then.
    pub trials: &'a str,
    /// `breaker_timeout_ms`: the time until the head of a response.
    pub timeout_ms: &'a str,
    /// `breaker_status_path`: the path at which the state is published.
    pub status_path: &'a str,
}

/// The settings, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// When the circuit opens.
    pub expression: Expression,
    /// The time whose requests the expression is about.
    pub window: Duration,
    /// The requests in this time without which it does not open.
    pub requests_min: u64,
    /// The time for which it stays open.
    pub fallback: Duration,
    /// The requests that decide whether it is closed then.
    pub trials: u64,
    /// The time until the head of a response.
    pub timeout: Duration,
    /// The path at which the state is published.
    pub status_path: Option<String>,
}

impl Config {
    /// Checks the settings.
    pub fn new(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let expression =
            if settings.expression.is_empty() { EXPRESSION } else { settings.expression };
        let seconds =
            |variable, text| number(variable, text, Some(10), 1..=3_600).map(Duration::from_secs);
        let timeout = TIMEOUT;
        let status_path = match settings.status_path {
            "" => None,
            path if path.starts_with('/') && !path.contains(['?', '#']) => Some(path.to_owned()),
            _ => {
                let reason = "must be a path that begins with `/`";
                return Err(SettingError::new("breaker_status_path", reason));
            }
        };
        Ok(Self {
            expression: Expression::parse(expression)
                .map_err(|error| SettingError::new("breaker_expression", error.to_string()))?,
            window: seconds("breaker_window_s", settings.window_s)?,
            requests_min: number(
                "breaker_requests_min",
                settings.requests_min,
                Some(20),
                1..=1_000_000,
            )?,
            fallback: seconds("breaker_fallback_duration_s", settings.fallback_duration_s)?,
            trials: number("breaker_trials", settings.trials, Some(3), 1..=1_000)?,
            timeout: milliseconds("breaker_timeout_ms", settings.timeout_ms, timeout, TIMEOUT_MAX)?,
            status_path,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let config = Config::new(&Settings::default()).unwrap();
        assert_eq!((config.trials, config.requests_min, config.status_path), (3, 20, None));
        for (settings, variable) in [
            (Settings { expression: "x", ..Settings::default() }, "breaker_expression"),
            (Settings { window_s: "0", ..Settings::default() }, "breaker_window_s"),
            (Settings { requests_min: "0", ..Settings::default() }, "breaker_requests_min"),
            (
                Settings { fallback_duration_s: "3601", ..Settings::default() },
                "breaker_fallback_duration_s",
            ),
            (Settings { trials: "0", ..Settings::default() }, "breaker_trials"),
            (Settings { timeout_ms: "25001", ..Settings::default() }, "breaker_timeout_ms"),
            (Settings { status_path: "metrics", ..Settings::default() }, "breaker_status_path"),
        ] {
            assert_eq!(Config::new(&settings).unwrap_err().variable, variable);
        }
    }
}
