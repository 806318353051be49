//! Where a partition is being read.

use std::time::Instant;

use crate::extent::Extent;
use crate::log_id::Log;

/// Where a partition is being read.
#[derive(Debug, Clone)]
pub(crate) struct Cursor {
    pub log: Log,
    /// When the log's identity was last checked.
    pub checked: Instant,
    /// The next batch's start.
    pub start: i64,
    /// Where the client reads: `start`, or the beginning of the log if `start` no longer exists.
    pub read_from: i64,
    /// How far the log was read. It is beyond `start` if batches are delivered again.
    pub read: Extent,
    /// Whether the handler keeps its position.
    pub keeps_position: bool,
    /// Whether the next batch may be the first of this log that the handler applies.
    pub first: bool,
}

impl Cursor {
    /// A cursor at a position of a log whose id has just been queried.
    pub fn at(log: Log, start: i64) -> Self {
        Self {
            log,
            checked: Instant::now(),
            start,
            read_from: start,
            read: Extent::up_to(start),
            keeps_position: false,
            first: true,
        }
    }
}
