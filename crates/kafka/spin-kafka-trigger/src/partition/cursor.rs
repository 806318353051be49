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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_rewind_moves_the_expected_position_back() {
        let cursor = Cursor::at(Log::new(&"a".into(), 0), 5);
        let mut cursor = Cursor { keeps_position: true, expected_position: Some(9), ..cursor };
        // Batches that were applied are read again.
        cursor.advance(7);
        assert_eq!((cursor.start, cursor.expected_position), (7, Some(9)));
        cursor.advance(12);
        assert_eq!((cursor.start, cursor.expected_position), (12, Some(12)));
        cursor.rewind(3);
        assert_eq!((cursor.start, cursor.read_from, cursor.expected_position), (3, 3, Some(3)));
        cursor.advance(4);
        assert_eq!(cursor.expected_position, Some(4));
    }

    #[test]
    fn a_handler_without_a_position_has_no_expected_one() {
        let mut cursor = Cursor::at(Log::new(&"a".into(), 0), 5);
        cursor.advance(7);
        cursor.rewind(6);
        assert_eq!((cursor.start, cursor.expected_position), (6, None));
    }
}
