//! Where a partition is being read.

use std::time::Instant;

use crate::batch::expected_after;
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
    /// The position that the store of a handler that keeps its position must hold, see
    /// [`Batch::expected_position`](crate::Batch::expected_position).
    pub expected_position: Option<i64>,
}

impl Cursor {
    /// Moves the cursor to the end of a batch that was applied.
    pub fn advance(&mut self, end: i64) {
        (self.start, self.read_from) = (end, end);
        if self.keeps_position {
            self.expected_position = expected_after(self.expected_position, end);
        }
    }

    /// Moves the cursor back to a position that the handler returned.
    pub fn rewind(&mut self, position: i64) {
        (self.start, self.read_from) = (position, position);
        if self.keeps_position {
            self.expected_position = Some(position);
        }
    }

    /// A cursor at a position of a log whose id has just been queried.
    pub fn at(log: Log, start: i64) -> Self {
        Self {
            log,
            checked: Instant::now(),
            start,
            read_from: start,
            read: Extent::up_to(start),
            keeps_position: false,
            expected_position: None,
        }
    }
}
