//! Tells a repeated sale from a new one by its `Idempotency-Key`.
//!
//! A sale with a key is what its key and its body say: the same key with the same body is the
//! same sale, however often it is sent ([`Fingerprint`]). The aggregator remembers fingerprints
//! in the same step in which it counts, so a sale that lies twice in the log counts once. The
//! writer claims a key before it writes ([`Claim`]), so that a second body under the same key
//! is refused while the client still waits for the answer. Both memories are bounded by time
//! and number ([`Bounds`]).

mod bounds;
mod claim;
mod fingerprint;

pub use bounds::{Bounds, BoundsError};
pub use claim::{Answer, Claim, Claimed};
pub use fingerprint::Fingerprint;
