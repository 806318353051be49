//! How long the bridge waits for the next hop, retries included.

use std::time::Duration;

use crate::IntakeError;

/// The time a sale has from the bridge to the broker's acknowledgement and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Duration);

impl Deadline {
    /// Spin variable with the time in milliseconds. Where it is not declared, the time is
    /// [`Deadline::MS_MAX`].
    pub const VARIABLE: &str = "request_timeout_ms";

    /// Longest time, in milliseconds.
    ///
    /// It lies between the producer's `delivery_timeout_ms` (10,000) and what `intake-http`
    /// waits (20,000), so that whoever knows most about a failure is the one to tell it.
    pub const MS_MAX: u64 = 15_000;

    /// Reads the variable's value.
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

    /// The time.
    pub fn duration(self) -> Duration {
        self.0
    }

    /// What a sale gets that is not acknowledged in this time.
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
