//! State in Valkey that is written together with the position in a Kafka log, so that every record
//! is counted once.
//!
//! A function makes its changes in a [`State`], which combines them. A [`Transaction`] sends them
//! with one call of a script (`apply.lua`), which compares the stored position with the batch, and
//! stores the changes and the new position in one atomic step. So a batch that is handed over again
//! changes nothing. This crate does no I/O and is used by `spin-kafka-sdk`.

mod call;
mod change;
mod decimal;
mod derived;
mod error;
mod existing_counts;
mod fingerprint;
mod limits;
mod namespace;
mod pack;
mod read;
mod retention;
mod source;
mod state;
mod transaction;

pub use decimal::{Decimal, DecimalError};
pub use error::{ChangeError, Error};
pub use existing_counts::{COMMITTED, ExistingCounts, ExistingCountsError};
pub use fingerprint::Fingerprint;
pub use limits::{BYTES_MAX, CALLS_MAX, ENTRY_WORDS_MAX, OPERATIONS_MAX, READS_MAX};
pub use namespace::{FixedNames, Namespace, NamespaceError, is_valid_name};
pub use read::Read;
pub use retention::{RetentionLimits, RetentionLimitsError};
pub use source::{OffsetRange, Source, Stored};
pub use state::{Hash, State};
pub use transaction::{RecordId, Reply, Step, Transaction};
pub use valkey_command::{Command, TimeLimits, encode};
