//! How long, and how many.

/// How much is remembered.
///
/// A memory has two generations. The younger one takes what is new; when it is full or old
/// enough it becomes the older one, and what was the older one is forgotten. So a key is
/// remembered at least until `keys_max` others have come or `window_s` seconds have passed,
/// whichever is first, and at most for twice as many and twice as long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Keys in one generation.
    pub keys_max: u32,
    /// Age of one generation, in seconds.
    pub window_s: u32,
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Spin variable `{variable}`: `{value}` must be a whole number from 1 to {max}")]
pub struct BoundsError {
    variable: &'static str,
    value: String,
    max: u32,
}

impl Bounds {
    /// The Spin variable that sets [`Bounds::keys_max`].
    pub const KEYS_MAX_VARIABLE: &str = "idempotency_keys_max";
    /// The Spin variable that sets [`Bounds::window_s`].
    pub const WINDOW_VARIABLE: &str = "idempotency_window_s";

    /// Most keys that may be asked for: a generation of them takes about 5 GB in Valkey.
    const KEYS_LIMIT: u32 = 100_000_000;
    /// Longest window that may be asked for: 366 days.
    const WINDOW_LIMIT_S: u32 = 366 * 86_400;

    /// Reads the variables' values; the default for one that is not set.
    pub fn parse(keys_max: Option<&str>, window_s: Option<&str>) -> Result<Self, BoundsError> {
        let default = Self::default();
        let number = |variable, value: Option<&str>, default, max| match value {
            None => Ok(default),
            Some(value) => match value.parse() {
                Ok(number) if (1..=max).contains(&number) => Ok(number),
                _ => Err(BoundsError { variable, value: value.into(), max }),
            },
        };
        let (keys, window) = (Self::KEYS_MAX_VARIABLE, Self::WINDOW_VARIABLE);
        Ok(Self {
            keys_max: number(keys, keys_max, default.keys_max, Self::KEYS_LIMIT)?,
            window_s: number(window, window_s, default.window_s, Self::WINDOW_LIMIT_S)?,
        })
    }
}

impl Default for Bounds {
    /// Half a million keys, some 26 MB for each partition, and the 24 hours for which payment services keep a key.
    fn default() -> Self {
        Self { keys_max: 500_000, window_s: 86_400 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_numbers_within_limits() {
        assert_eq!(Bounds::parse(None, None), Ok(Bounds::default()));
        let set = Bounds { keys_max: 10, window_s: 60 };
        assert_eq!(Bounds::parse(Some("10"), Some("60")), Ok(set));
        for (keys, window) in [(Some("0"), None), (Some("many"), None), (None, Some("40000000"))] {
            let error = Bounds::parse(keys, window).unwrap_err().to_string();
            assert!(error.contains("must be a whole number"), "{error}");
        }
    }
}
