//! The limit, and the state of one bucket.
//!
//! A bucket is one number, the time at which it will be full (the generic cell rate algorithm): each
//! request moves it by the time in which one token is added, and it must not be more than the time in
//! which all tokens are added in the future.

use component_settings::{SettingError, number};

/// Maximum number of requests in a period, and of tokens in a bucket.
const REQUESTS_MAX: u64 = 1_000_000;

/// Maximum length of a period, in seconds: a day.
const PERIOD_S_MAX: u64 = 86_400;

/// The values of the Spin variables. An empty value has the same meaning as a variable that is not
/// declared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings<'a> {
    /// `rate_limit_average`: the requests in a period.
    pub average: &'a str,
    /// `rate_limit_period_s`: the length of a period.
    pub period_s: &'a str,
    /// `rate_limit_burst`: the tokens in a full bucket.
    pub burst: &'a str,
}

/// A limit: the bucket of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// The microseconds in which one token is added.
    pub(crate) interval_us: u64,
    burst: u64,
}

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// Whether it is permitted.
    pub is_permitted: bool,
    /// The tokens in a full bucket.
    pub limit: u64,
    /// The tokens that are left.
    pub remaining: u64,
    /// The seconds until the bucket is full.
    pub reset_s: u64,
    /// The seconds after which a refused request would be permitted, if there are no others.
    pub retry_s: u64,
}

impl Limit {
    /// Checks the settings. The period is a second, and the burst is as large as the average, if they
    /// are not set.
    pub fn new(settings: &Settings<'_>) -> Result<Self, SettingError> {
        let count = |variable, text, default, max| number(variable, text, default, 1..=max);
        let average = count("rate_limit_average", settings.average, None, REQUESTS_MAX)?;
        let period_s = count("rate_limit_period_s", settings.period_s, Some(1), PERIOD_S_MAX)?;
        let burst = count("rate_limit_burst", settings.burst, Some(average), REQUESTS_MAX)?;
        // At least 1: there are at most a million requests in a second.
        Ok(Self { interval_us: period_s * 1_000_000 / average, burst })
    }

    /// Takes a token at this time, in microseconds, from the bucket that will be full at `full_us`.
    /// Returns what the request gets, and when the bucket will then be full.
    pub(crate) fn take(&self, full_us: u64, now_us: u64) -> (Grant, u64) {
        let full_us = full_us.max(now_us);
        let next_us = full_us + self.interval_us;
        let is_permitted = next_us - now_us <= self.capacity_us();
        let full_us = if is_permitted { next_us } else { full_us };
        (self.grant(is_permitted, full_us - now_us), full_us)
    }

    /// The microseconds in which all tokens are added.
    pub(crate) fn capacity_us(&self) -> u64 {
        self.interval_us * self.burst
    }

    /// What a request gets if its bucket will then be full after this time.
    pub(crate) fn grant(&self, is_permitted: bool, missing_us: u64) -> Grant {
        let capacity_us = self.capacity_us();
        let next_us = missing_us + self.interval_us;
        let wait_us = if is_permitted { 0 } else { next_us.saturating_sub(capacity_us) };
        Grant {
            is_permitted,
            limit: self.burst,
            remaining: capacity_us.saturating_sub(missing_us) / self.interval_us,
            reset_s: missing_us.div_ceil(1_000_000),
            retry_s: wait_us.div_ceil(1_000_000),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn limit(average: &str, period_s: &str, burst: &str) -> Limit {
        Limit::new(&Settings { average, period_s, burst }).unwrap()
    }

    #[test]
    fn settings_are_checked() {
        assert_eq!(limit("5", "", ""), Limit { interval_us: 200_000, burst: 5 });
        assert_eq!(limit("1", "60", "3"), Limit { interval_us: 60_000_000, burst: 3 });
        for (average, period_s, burst, variable) in [
            ("", "", "", "rate_limit_average"),
            ("0", "", "", "rate_limit_average"),
            ("1.5", "", "", "rate_limit_average"),
            ("1000001", "", "", "rate_limit_average"),
            ("1", "0", "", "rate_limit_period_s"),
            ("1", "86401", "", "rate_limit_period_s"),
            ("1", "1", "-1", "rate_limit_burst"),
        ] {
            let error = Limit::new(&Settings { average, period_s, burst }).unwrap_err();
            assert_eq!(error.variable, variable);
        }
    }

    #[test]
    fn a_bucket_is_emptied_and_filled() {
        let limit = limit("2", "1", "3");
        let mut full = 0;
        let mut take = |now_ms: u64| {
            let (grant, next) = limit.take(full, now_ms * 1_000);
            full = next;
            (grant.is_permitted, grant.remaining, grant.reset_s, grant.retry_s)
        };
        assert_eq!(take(1_000), (true, 2, 1, 0));
        assert_eq!(take(1_000), (true, 1, 1, 0));
        assert_eq!(take(1_000), (true, 0, 2, 0));
        assert_eq!(take(1_000), (false, 0, 2, 1));
        assert_eq!(take(1_499), (false, 0, 2, 1));
        assert_eq!(take(1_500), (true, 0, 2, 0));
        assert_eq!(take(60_000), (true, 2, 1, 0));
    }

    proptest! {
        /// Over any time, no more requests are permitted than the burst and the average allow, and a
        /// request is permitted when `retry_s` has passed.
        #[test]
        fn the_rate_is_never_exceeded(
            average in 1_u64..50, period in 1_u64..10, burst in 1_u64..20,
            pauses in prop::collection::vec(0_u64..400_000, 1..200),
        ) {
            let limit = limit(&average.to_string(), &period.to_string(), &burst.to_string());
            let (mut full, mut now, mut permitted) = (0, 1_000_000, 0);
            let begin = now;
            for pause in pauses {
                now += pause;
                let (grant, next) = limit.take(full, now);
                full = next;
                permitted += u64::from(grant.is_permitted);
                prop_assert!(permitted <= burst + (now - begin) / limit.interval_us);
                prop_assert!(grant.remaining < burst);
                if !grant.is_permitted {
                    let later = limit.take(full, now + grant.retry_s * 1_000_000).0;
                    prop_assert!(later.is_permitted);
                }
            }
        }
    }
}
