//! How long the bridge waits for the next hop, including retries.

use std::time::Duration;

use crate::IntakeError;

/// Time limit of a sale from the bridge to the broker's acknowledgement and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Duration);

impl Deadline {
    /// Spin variable that sets the limit, in milliseconds. If it is not declared, the limit is
    /// [`Deadline::MS_MAX`].
    pub const VARIABLE: &str = "request_timeout_ms";

    /// Maximum, in milliseconds.
    ///
    /// It is longer than the producer's `delivery_timeout_ms` (10,000) and shorter than the time
    /// that `intake-http` waits (20,000), so that the part closest to the failure reports it.
    pub const MS_MAX: u64 = 15_000;

    /// Parses the variable's value. Fails unless it is a number from 1 to [`Deadline::MS_MAX`].
    pub fn parse(text: &str) -> Result<Self, IntakeError> {
        match text.trim().parse() {
            Ok(ms @ 1..=Self::MS_MAX) => Ok(Self(Duration::from_millis(ms))),
            _ => Err(IntakeError::Other(format!(
                "Spin variable `{}`: `{text}` must be 1 to {} milliseconds",
                Self::VARIABLE,
                Self::MS_MAX
            ))),
        }
    }

    /// The limit as a duration.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// The error for a sale that was not acknowledged within the limit.
    pub fn passed(self) -> IntakeError {
        IntakeError::TimedOut(format!("no acknowledgement within {} ms", self.0.as_millis()))
    }
}

impl Default for Deadline {
    fn default() -> Self {
        Self(Duration::from_millis(Self::MS_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_milliseconds_within_its_bounds() {
        for (text, ms) in [("1", 1), (" 5000\n", 5_000), ("15000", 15_000)] {
            assert_eq!(Deadline::parse(text).unwrap().duration().as_millis(), ms);
        }
        assert_eq!(Deadline::parse("15000"), Ok(Deadline::default()));
        for wrong in ["", "0", "-1", "15001", "5s", "1.5", "99999999999999999999"] {
            let text = Deadline::parse(wrong).unwrap_err().to_string();
            assert!(text.contains("request_timeout_ms") && text.contains("15000"), "{text}");
        }
    }
}
