//! Compares the books: a ledger file contains the accepted sales, and Valkey the counts. [`verify`]
//! recounts the ledger with simple, independent code and compares every key.

mod actual;
mod diff;
mod entry;
mod expected;
pub mod verify;

pub use actual::{Actual, connect};
pub use diff::{Difference, diff};
pub use entry::{Entry, Outcome, entries, read, write};
pub use expected::{CategoryBooks, Expected};
