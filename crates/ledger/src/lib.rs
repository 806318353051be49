//! The books: a ledger file says which sales were accepted; Valkey says what was counted.
//! [`verify`] recounts the first, plainly and on its own, and compares every key.

mod actual;
mod diff;
mod entry;
mod expected;
pub mod verify;

pub use actual::{Actual, connect};
pub use diff::{Difference, diff};
pub use entry::{Entry, Outcome, entries, read, write};
pub use expected::{CategoryBooks, Expected};
