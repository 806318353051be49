//! Durations in the settings.

use serde::{Deserialize, Serialize};

use crate::limits::DURATION_MAX_S;

/// A duration in whole seconds, at most [`DURATION_MAX_S`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "u64")]
pub(crate) struct Seconds(u32);

impl TryFrom<u64> for Seconds {
    type Error = String;

    fn try_from(seconds: u64) -> Result<Self, String> {
        match u32::try_from(seconds) {
            Ok(number) if seconds <= DURATION_MAX_S => Ok(Self(number)),
            _ => Err(format!("{seconds} s is more than {DURATION_MAX_S} s")),
        }
    }
}

impl Seconds {
    pub const MINUTE: Self = Self(60);
    pub const DAY: Self = Self(86_400);

    pub fn ms(self) -> i64 {
        i64::from(self.0) * 1_000
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }
}
