//! How far a log was read.

/// What was read of a partition's log, over all the times that this process had the partition.
///
/// A leader epoch counts how often the partition had got a leader when a record was written. It
/// never falls along a log. A record with a higher epoch below `end` is therefore not the record
/// that was read there: a replica that lacked the end of the log became the leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    /// The offset after the last record that was read.
    pub end: i64,
    /// The leader epoch of that record, or a later one under which it was read; negative if
    /// unknown.
    pub epoch: i32,
}

impl Extent {
    /// Up to `end`; the epoch is not known.
    pub fn up_to(end: i64) -> Self {
        Self { end, epoch: -1 }
    }

    /// Takes a record. False if the log was written anew from its offset on.
    pub fn take(&mut self, offset: i64, epoch: i32) -> bool {
        if offset < self.end {
            return self.epoch < 0 || epoch <= self.epoch;
        }
        *self = Self { end: offset.saturating_add(1), epoch };
        true
    }

    /// The log was read up to `end`; no record lies between.
    pub fn reach(&mut self, end: i64) {
        self.end = self.end.max(end);
    }

    /// The epoch with which a broker can tell whether its log holds what was read before
    /// `position`; negative if unknown.
    pub fn epoch_at(&self, position: i64) -> i32 {
        if position <= self.end { self.epoch } else { -1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_epoch_below_the_end_means_that_the_log_was_written_anew() {
        let mut read = Extent::up_to(10);
        assert!(read.take(3, 7), "nothing is known of the epoch");
        assert!(read.take(10, 4) && read.take(11, 5));
        assert_eq!(read, Extent { end: 12, epoch: 5 });
        assert!(read.take(10, 4) && read.take(11, 5), "read again");
        assert!(!read.take(11, 6));
        assert_eq!(read, Extent { end: 12, epoch: 5 });
    }

    #[test]
    fn the_epoch_is_good_up_to_the_end() {
        let mut read = Extent { end: 12, epoch: 5 };
        read.reach(20);
        read.reach(15);
        assert_eq!((read.epoch_at(3), read.epoch_at(20), read.epoch_at(21)), (5, 5, -1));
    }
}
