//! How long the bridge waits for the next hop, including retries.

use std::time::Duration;

use crate::IntakeError;

/// Time limit of a sale from the bridge to the broker's acknowledgement and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadline(Duration);

impl Deadline {
    /// Spin variable that sets the limit, in milliseconds.
    pub const VARIABLE: &str = "request_timeout_ms";

    /// Maximum, in milliseconds.
    ///
    /// It is shorter than the time that `intake-http` waits (20,000), so that the part closest to
    /// the failure reports it.
    pub const MS_MAX: u64 = 15_000;

    /// Parses the variable's value: a number from 1 to [`Deadline::MS_MAX`]. If it is empty, there
    /// is no deadline, and the limits of the later hops apply: 10 s of the producer
    /// (`delivery_timeout_ms`), 15 s of `intake-grpc`.
    pub fn parse(text: &str) -> Result<Option<Self>, IntakeError> {
        if text.trim().is_empty() {
            return Ok(None);
        }
        match text.trim().parse() {
            Ok(ms @ 1..=Self::MS_MAX) => Ok(Some(Self(Duration::from_millis(ms)))),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_milliseconds_within_its_bounds() {
        for (text, ms) in [("1", 1), (" 5000\n", 5_000), ("15000", 15_000)] {
            let deadline = Deadline::parse(text).unwrap().unwrap();
            assert_eq!(deadline.duration().as_millis(), ms);
        }
        assert_eq!(Deadline::parse(" "), Ok(None));
        for wrong in ["0", "-1", "15001", "5s", "1.5", "99999999999999999999"] {
            let text = Deadline::parse(wrong).unwrap_err().to_string();
            assert!(text.contains("request_timeout_ms") && text.contains("15000"), "{text}");
        }
    }
}
