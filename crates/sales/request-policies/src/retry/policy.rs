//! The policy.

use std::time::{Duration, SystemTime};

use component_settings::{SettingError, milliseconds, number, truth};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_text::retry_after;
use intake::RetryBudget;
use intake::request::IDEMPOTENCY_KEY;

use crate::setting::{TIMEOUT_MAX, statuses};

/// Maximum number of times that a request is sent, including the first.
const ATTEMPTS_MAX: u32 = 10;

/// Maximum pause between two attempts, except for `Retry-After`.
const INTERVAL_MAX: Duration = Duration::from_secs(10);

/// Maximum length of a body that is kept in memory to be sent again. An instance may keep one for each
/// of 64 requests at once, and a copy for each attempt, within a memory of 128 MiB.
const BODY_BYTES_MAX: u64 = 256 << 10;

/// The default of `retry_timeout_ms`.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10);

/// The values of the Spin variables.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// `retry_attempts`: how often a request is sent at most, including the first time.
    pub attempts: &'a str,
    /// `retry_initial_interval_ms`: the maximum pause before the second attempt.
    pub initial_interval_ms: &'a str,
    /// `retry_statuses`: the statuses that are failures, separated by commas, or `none`.
    pub statuses: &'a str,
    /// `retry_idempotency_key`: whether any request with an `Idempotency-Key` may be repeated.
    pub idempotency_key: &'a str,
    /// `retry_budget_percent`: the repetitions for 100 requests.
    pub budget_percent: &'a str,
    /// `retry_body_bytes_max`: the length of a body that may be sent again.
    pub body_bytes_max: &'a str,
    /// `retry_after_max_ms`: the longest wait because of `Retry-After`.
    pub after_max_ms: &'a str,
    /// `retry_timeout_ms`: the time of a request with all its attempts.
    pub timeout_ms: &'a str,
    /// `retry_attempt_timeout_ms`: the time of one attempt.
    pub attempt_timeout_ms: &'a str,
}

/// Which requests are repeated, and after which pause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    attempts: u32,
    initial_interval: Duration,
    statuses: Vec<StatusCode>,
    idempotency_key: bool,
    budget_percent: u32,
    body_bytes_max: u64,
    after_max: Duration,
    timeout: Duration,
    attempt_timeout: Duration,
}

/// A failed attempt.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// The number of attempts that were made.
    pub attempts: u32,
    /// The time since the first attempt began.
    pub elapsed: Duration,
    /// `Retry-After` of the response, if there is one.
    pub retry_after: Option<&'a HeaderValue>,
}

impl Policy {
    /// Checks the settings.
    pub fn new(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let time = |variable, text, default_ms, max| {
            milliseconds(variable, text, Duration::from_millis(default_ms), max)
        };
        let timeout = milliseconds("retry_timeout_ms", settings.timeout_ms, TIMEOUT, TIMEOUT_MAX)?;
        let attempt_timeout = milliseconds(
            "retry_attempt_timeout_ms",
            settings.attempt_timeout_ms,
            timeout,
            timeout,
        )?;
        let interval = settings.initial_interval_ms;
        Ok(Self {
            attempts: number("retry_attempts", settings.attempts, Some(3), 1..=ATTEMPTS_MAX)?,
            initial_interval: time("retry_initial_interval_ms", interval, 100, INTERVAL_MAX)?,
            statuses: statuses("retry_statuses", settings.statuses)?,
            idempotency_key: truth("retry_idempotency_key", settings.idempotency_key)?,
            budget_percent: number(
                "retry_budget_percent",
                settings.budget_percent,
                Some(20),
                1..=100,
            )?,
            body_bytes_max: number(
                "retry_body_bytes_max",
                settings.body_bytes_max,
                Some(64 << 10),
                0..=BODY_BYTES_MAX,
            )?,
            after_max: time("retry_after_max_ms", settings.after_max_ms, 2_000, TIMEOUT_MAX)?,
            timeout,
            attempt_timeout,
        })
    }

    /// The budget of an instance.
    pub fn budget(&self) -> RetryBudget {
        RetryBudget::with_burst(self.budget_percent)
    }

    /// The length of a body that may be sent again.
    pub fn body_bytes_max(&self) -> u64 {
        self.body_bytes_max
    }

    /// Whether this request may be sent more than once: its method is idempotent, or the server
    /// recognises a repetition by its key.
    pub fn is_repeatable(&self, method: &Method, headers: &HeaderMap) -> bool {
        let has_key = self.idempotency_key && headers.contains_key(IDEMPOTENCY_KEY);
        self.attempts > 1 && (method.is_idempotent() || has_key)
    }

    /// Whether a response with this status is a failure.
    pub fn is_failure(&self, status: StatusCode) -> bool {
        self.statuses.contains(&status)
    }

    /// The time for the next attempt, this long after the first one began; `None` if there is none.
    pub fn attempt_limit(&self, elapsed: Duration) -> Option<Duration> {
        let rest = self.timeout.checked_sub(elapsed).filter(|rest| !rest.is_zero())?;
        Some(rest.min(self.attempt_timeout))
    }

    /// The pause before the next attempt; `None` if there must be none. `random` is from 0 to 1.
    ///
    /// The pause is a random part of an interval that doubles with each attempt, so that requests
    /// that failed at the same time are not repeated at the same time.
    pub fn pause(&self, failure: &Failure<'_>, now: SystemTime, random: f64) -> Option<Duration> {
        if failure.attempts >= self.attempts {
            return None;
        }
        let factor = 1 << failure.attempts.saturating_sub(1).min(ATTEMPTS_MAX);
        let interval = self.initial_interval.saturating_mul(factor).min(INTERVAL_MAX);
        let mut pause = interval.mul_f64(random.clamp(0.0, 1.0));
        let wait = failure.retry_after.and_then(|value| retry_after(value, now));
        if let Some(wait) = wait {
            if wait > self.after_max {
                return None;
            }
            pause += wait;
        }
        (failure.elapsed + pause < self.timeout).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn failure(attempts: u32, elapsed_ms: u64) -> Failure<'static> {
        Failure { attempts, elapsed: Duration::from_millis(elapsed_ms), retry_after: None }
    }

    #[test]
    fn settings_are_checked() {
        let policy = Policy::new(&Settings::default()).unwrap();
        assert_eq!(policy.attempts, 3);
        assert_eq!(policy.attempt_timeout, policy.timeout);
        let none = Settings { statuses: "none", ..Settings::default() };
        assert!(!Policy::new(&none).unwrap().is_failure(StatusCode::BAD_GATEWAY));
        let all = Settings { statuses: "429, 500", ..Settings::default() };
        assert!(Policy::new(&all).unwrap().is_failure(StatusCode::TOO_MANY_REQUESTS));
        for (settings, variable) in [
            (Settings { attempts: "0", ..Settings::default() }, "retry_attempts"),
            (Settings { attempts: "11", ..Settings::default() }, "retry_attempts"),
            (
                Settings { initial_interval_ms: "100ms", ..Settings::default() },
                "retry_initial_interval_ms",
            ),
            (Settings { statuses: "200", ..Settings::default() }, "retry_statuses"),
            (Settings { statuses: "503,", ..Settings::default() }, "retry_statuses"),
            (Settings { idempotency_key: "yes", ..Settings::default() }, "retry_idempotency_key"),
            (Settings { budget_percent: "101", ..Settings::default() }, "retry_budget_percent"),
            (Settings { body_bytes_max: "262145", ..Settings::default() }, "retry_body_bytes_max"),
            (Settings { after_max_ms: "25001", ..Settings::default() }, "retry_after_max_ms"),
            (Settings { timeout_ms: "25001", ..Settings::default() }, "retry_timeout_ms"),
            (
                Settings { timeout_ms: "5", attempt_timeout_ms: "6", ..Settings::default() },
                "retry_attempt_timeout_ms",
            ),
        ] {
            assert_eq!(Policy::new(&settings).unwrap_err().variable, variable);
        }
    }

    #[test]
    fn only_repeatable_requests_are_repeated() {
        let with_key = HeaderMap::from_iter([(
            http::HeaderName::from_static(IDEMPOTENCY_KEY),
            HeaderValue::from_static("k"),
        )]);
        let policy = |settings: Settings<'_>| Policy::new(&settings).unwrap();
        let plain = policy(Settings::default());
        for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"] {
            assert!(plain.is_repeatable(&method.parse().unwrap(), &HeaderMap::new()), "{method}");
        }
        for method in ["POST", "PATCH", "CONNECT", "PURGE"] {
            assert!(!plain.is_repeatable(&method.parse().unwrap(), &with_key), "{method}");
        }
        let keys = policy(Settings { idempotency_key: "true", ..Settings::default() });
        assert!(keys.is_repeatable(&Method::POST, &with_key));
        assert!(!keys.is_repeatable(&Method::POST, &HeaderMap::new()));
        let once = policy(Settings { attempts: "1", ..Settings::default() });
        assert!(!once.is_repeatable(&Method::GET, &HeaderMap::new()));
    }

    #[test]
    fn retry_after_is_respected_up_to_its_limit() {
        let policy = Policy::new(&Settings::default()).unwrap();
        let pause = |seconds: &'static str, random| {
            let value = HeaderValue::from_static(seconds);
            let failure = Failure { retry_after: Some(&value), ..failure(1, 0) };
            policy.pause(&failure, SystemTime::UNIX_EPOCH, random)
        };
        assert_eq!(pause("2", 0.0), Some(Duration::from_secs(2)));
        assert_eq!(pause("2", 1.0), Some(Duration::from_millis(2_100)));
        assert_eq!(pause("3", 0.0), None);
        assert_eq!(pause("soon", 0.5), Some(Duration::from_millis(50)));
    }

    proptest! {
        /// The number of attempts, the pause and the time have limits.
        #[test]
        fn everything_is_limited(
            attempts in 1u32..=10, interval in 1u64..=10_000, timeout in 1u64..=25_000,
            made in 1u32..12, elapsed in 0u64..30_000, random in 0f64..=1.0,
        ) {
            let [a, i, t] = [u64::from(attempts), interval, timeout].map(|n| n.to_string());
            let settings = Settings {
                attempts: &a, initial_interval_ms: &i, timeout_ms: &t, ..Settings::default()
            };
            let policy = Policy::new(&settings).unwrap();
            let failure = failure(made, elapsed);
            if let Some(pause) = policy.pause(&failure, SystemTime::UNIX_EPOCH, random) {
                prop_assert!(made < attempts);
                prop_assert!(pause <= INTERVAL_MAX);
                prop_assert!(pause <= Duration::from_millis(interval << (made - 1)));
                prop_assert!(failure.elapsed + pause < Duration::from_millis(timeout));
            }
            let limit = policy.attempt_limit(failure.elapsed);
            prop_assert_eq!(limit, (elapsed < timeout).then(|| {
                Duration::from_millis(timeout.saturating_sub(elapsed))
            }));
        }
    }
}
