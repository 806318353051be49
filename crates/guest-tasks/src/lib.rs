//! How the calls of a guest wait: with a limit, for each other, and without being polled for
//! nothing.

mod calm;
mod limit;
mod wake;

pub use calm::{Calm, calmly};
pub use limit::{now_ms, within};
pub use wake::{Wake, wake_up};
