//! Waiting in guests: time limits, wake-ups from one call to another, and suppression of spurious
//! polls.

mod limit;
mod spurious_polls;
mod wake;

pub use limit::{now_ms, within};
pub use spurious_polls::{PollSuppressor, suppress_spurious_polls};
pub use wake::{Wake, wake_up};
