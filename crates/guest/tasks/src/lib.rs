//! Waiting in guests: time limits, and wake-ups from one call to another.

mod limit;
mod wake;

pub use limit::{now_ms, within};
pub use wake::{Wake, wake_up};
