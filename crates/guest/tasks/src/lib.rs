//! Waiting in guests: time limits, wake-ups from one call to another, and suppression of spurious
//! polls.

mod calm;
mod limit;
mod wake;

pub use calm::{Calm, calmly};
pub use limit::{now_ms, within};
pub use wake::{Wake, wake_up};
