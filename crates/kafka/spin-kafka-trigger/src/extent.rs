//! How far a partition's log was read.

/// How far a partition's log was read, over all assignments of the partition to this process.
///
/// A leader epoch counts the elections of the partition's leader; a record carries the epoch under
/// which it was written. The epochs of a log never fall from one record to the next. A record below
/// `end` with a higher epoch is therefore not the record that was read at that offset: a replica
/// without the end of the log had become the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The offset after the last record that was read.
    pub end: i64,
    /// The leader epoch of that record, or a later epoch during which it was read; negative if
    /// unknown.
    pub epoch: i32,
}

/// The offset from which a log was rewritten after it had been read further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// From this offset on.
    At(i64),
    /// From an offset below the end of what was read. The records do not show which one.
    Unknown,
}

impl Extent {
    /// Read up to `end`; the epoch is not known.
    pub fn up_to(end: i64) -> Self {
        Self { end, epoch: -1 }
    }

    /// Notes a record that was read. Returns `false` if the log was rewritten from the record's
    /// offset on.
    pub fn observe(&mut self, offset: i64, epoch: i32) -> bool {
        if offset < self.end {
            return self.epoch < 0 || epoch <= self.epoch;
        }
        *self = Self { end: offset.saturating_add(1), epoch };
        true
    }

    /// Notes that the log was read up to `end`, and that the last offsets before `end` hold no
    /// record.
    pub fn reach(&mut self, end: i64) {
        self.end = self.end.max(end);
    }

    /// The epoch with which a broker can check whether its log contains what was read before
    /// `position`; negative if unknown.
    pub fn epoch_at(&self, position: i64) -> i32 {
        if position <= self.end { self.epoch } else { -1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_below_the_end_means_that_the_log_was_rewritten() {
        let mut read = Extent::up_to(10);
        assert!(read.observe(3, 7), "the epoch is unknown");
        assert!(read.observe(10, 4) && read.observe(11, 5));
        assert_eq!(read, Extent { end: 12, epoch: 5 });
        assert!(read.observe(10, 4) && read.observe(11, 5), "read again");
        assert!(!read.observe(11, 6));
        assert_eq!(read, Extent { end: 12, epoch: 5 });
    }

    #[test]
    fn the_epoch_is_valid_up_to_the_end() {
        let mut read = Extent { end: 12, epoch: 5 };
        read.reach(20);
        read.reach(15);
        assert_eq!((read.epoch_at(3), read.epoch_at(20), read.epoch_at(21)), (5, 5, -1));
    }
}
