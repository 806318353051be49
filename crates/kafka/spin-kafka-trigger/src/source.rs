//! What a trigger for another broker than Kafka uses of this crate: batches, the handler's calls,
//! the division of a batch after a failure, the policy for failed records, metrics and progress.
//!
//! The source of the records gives each of them a number, which takes the place of the offset. The
//! numbers grow, and begin again with each log id.

pub use crate::backoff::Backoff;
pub use crate::batch::{BatchBuilder, Gathered};
pub use crate::letter::Letter;
pub use crate::letter_sink::{LetterFault, LetterWriter};
pub use crate::partition::{Applied, ApplyEnd, BatchApplier, SourceEngine};
