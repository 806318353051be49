//! Recognises repeated sales by their `Idempotency-Key`.
//!
//! A sale with a key is identified by its key and its body: the same key with the same body is the
//! same sale, however often it is sent ([`Fingerprint`]). The aggregator stores the fingerprints in
//! the same atomic step as the counts, so a sale that was written to the log twice is counted once.
//! The writer claims a key before it writes the sale ([`Claim`]), so that another body with the
//! same key is refused while the client still waits for the answer. The number and the age of the
//! remembered keys are limited ([`RetentionLimits`]).

mod claim;

pub use claim::{Claim, KeyOwner, Reply};
pub use spin_kafka_state::{Fingerprint, RetentionLimits, RetentionLimitsError};
