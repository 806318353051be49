//! How many idempotency keys are remembered, and for how long.

/// The limits of a set of remembered keys.
///
/// The set has two generations. New keys are added to the younger one. When it is full or old
/// enough, it replaces the older one, whose keys are forgotten. So a key is remembered at least
/// until `keys_max` other keys were added or `window_s` seconds have passed, whichever is first,
/// and at most for twice that number and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetentionLimits {
    /// Maximum number of keys in one generation.
    pub keys_max: u32,
    /// Maximum age of one generation, in seconds.
    pub window_s: u32,
}

/// The value of a setting is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Spin variable `{variable}`: `{value}` must be a whole number from 1 to {max}")]
pub struct RetentionLimitsError {
    variable: &'static str,
    value: String,
    max: u32,
}

impl RetentionLimits {
    /// The Spin variable that sets [`RetentionLimits::keys_max`].
    pub const KEYS_MAX_VARIABLE: &str = "idempotency_keys_max";
    /// The Spin variable that sets [`RetentionLimits::window_s`].
    pub const WINDOW_VARIABLE: &str = "idempotency_window_s";

    /// Maximum of [`RetentionLimits::keys_max`]: a generation of this size takes about 5 GB in
    /// Valkey.
    const KEYS_LIMIT: u32 = 100_000_000;
    /// Maximum of [`RetentionLimits::window_s`]: 366 days.
    const WINDOW_LIMIT_S: u32 = 366 * 86_400;

    /// Parses the variables' values. None means that the variable is not set, and selects the
    /// default.
    pub fn parse(
        keys_max: Option<&str>,
        window_s: Option<&str>,
    ) -> Result<Self, RetentionLimitsError> {
        let default = Self::default();
        let number = |variable, value: Option<&str>, default, max| match value {
            None => Ok(default),
            Some(value) => match value.parse() {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(RetentionLimitsError { variable, value: value.into(), max }),
            },
        };
        let (keys, window) = (Self::KEYS_MAX_VARIABLE, Self::WINDOW_VARIABLE);
        Ok(Self {
            keys_max: number(keys, keys_max, default.keys_max, Self::KEYS_LIMIT)?,
            window_s: number(window, window_s, default.window_s, Self::WINDOW_LIMIT_S)?,
        })
    }
}

impl Default for RetentionLimits {
    /// Half a million keys, which take about 26 MB for each partition, and 24 hours, which is how
    /// long payment services keep a key.
    fn default() -> Self {
        Self { keys_max: 500_000, window_s: 86_400 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_within_limits() {
        assert_eq!(RetentionLimits::parse(None, None), Ok(RetentionLimits::default()));
        let set = RetentionLimits { keys_max: 10, window_s: 60 };
        assert_eq!(RetentionLimits::parse(Some("10"), Some("60")), Ok(set));
        for (keys, window) in [(Some("0"), None), (Some("many"), None), (None, Some("40000000"))] {
            let error = RetentionLimits::parse(keys, window).unwrap_err().to_string();
            assert!(error.contains("must be a whole number"), "{error}");
        }
    }
}
