//! What a component returns that transforms records.

use crate::Rejection;
use crate::producer::Outgoing;

/// What a batch results in; see [`transform`](macro@crate::transform).
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// The records of the batch that are rejected.
    pub rejections: Vec<Rejection>,
    /// The records to write, in order.
    pub records: Vec<Outgoing>,
}

impl From<Vec<Outgoing>> for Answer {
    fn from(records: Vec<Outgoing>) -> Self {
        Self { rejections: Vec::new(), records }
    }
}
