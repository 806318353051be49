//! Determines which offset is next in a partition.

use std::ops::Range;

/// How an offset relates to the records before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is the next offset.
    Next,
    /// The offsets from `from` up to this one are missing: compacted away, transaction markers, or
    /// lost.
    Gap {
        /// The first missing offset.
        from: i64,
    },
    /// The record was read before, or the log was rewritten from an earlier offset.
    Behind,
}

/// The sequence of the offsets of a partition as they are read.
#[derive(Debug)]
pub(crate) struct Sequence {
    next: i64,
    /// The offset below which missing offsets were reported.
    reported: i64,
}

impl Sequence {
    /// Reading begins at `next`. Missing offsets below `reported` have been reported already.
    pub fn new(next: i64, reported: i64) -> Self {
        Self { next, reported }
    }

    /// The lowest offset that the next record may have.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Takes the offset of a record. An offset that is behind does not change the state.
    pub fn observe(&mut self, offset: i64) -> Step {
        let expected = self.next;
        if offset < expected {
            return Step::Behind;
        }
        self.next = offset.saturating_add(1);
        if offset == expected { Step::Next } else { Step::Gap { from: expected } }
    }

    /// Notes that the log was read up to `end`, and that the last offsets before `end` hold no
    /// record. Returns whether offsets are missing.
    pub fn reach(&mut self, end: i64) -> bool {
        let missing = end > self.next;
        self.next = self.next.max(end);
        missing
    }

    /// The offsets of a gap that the log no longer holds, given its lowest offset `log_start`. Each
    /// loss is returned only once. A gap above the log's start is not a loss.
    pub fn lost(&mut self, gap: Range<i64>, log_start: i64) -> Option<Range<i64>> {
        let to = log_start.min(gap.end);
        let from = gap.start.max(self.reported);
        if from >= to {
            return None;
        }
        self.reported = to;
        Some(from..to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn passes_each_offset_once_and_in_order(
            start in 0_i64..100, offsets in prop::collection::vec(0_i64..200, 0..300),
        ) {
            let mut sequence = Sequence::new(start, start);
            let mut passed = vec![start - 1];
            for offset in offsets {
                let before = sequence.next();
                match sequence.observe(offset) {
                    Step::Behind => prop_assert!(offset < before),
                    Step::Next => prop_assert_eq!(offset, before),
                    Step::Gap { from } => prop_assert!(from == before && offset > before),
                }
                if sequence.next() > before {
                    passed.push(offset);
                }
            }
            prop_assert!(passed.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    #[test]
    fn a_gap_below_the_log_start_is_a_loss_and_reported_once() {
        let mut sequence = Sequence::new(10, 10);
        assert_eq!(sequence.observe(50), Step::Gap { from: 10 });
        assert_eq!(sequence.lost(10..50, 40), Some(10..40));
        assert_eq!(sequence.lost(10..50, 40), None);
    }

    #[test]
    fn a_compacted_gap_is_not_a_loss() {
        let mut sequence = Sequence::new(10, 10);
        assert_eq!(sequence.observe(50), Step::Gap { from: 10 });
        assert_eq!(sequence.lost(10..50, 0), None);
        assert_eq!(sequence.lost(10..50, -1), None, "an unknown log start is not a loss");
    }

    #[test]
    fn a_log_start_beyond_the_record_counts_up_to_the_record_only() {
        let mut sequence = Sequence::new(10, 10);
        sequence.observe(50);
        assert_eq!(sequence.lost(10..50, 900), Some(10..50));
    }

    #[test]
    fn the_end_of_the_log_may_follow_markers_or_expired_records() {
        let mut sequence = Sequence::new(10, 10);
        assert!(!sequence.reach(10) && !sequence.reach(9));
        assert!(sequence.reach(30));
        assert_eq!(sequence.next(), 30);
        assert_eq!(sequence.lost(10..30, 0), None, "markers");
        assert_eq!(sequence.lost(10..30, 30), Some(10..30), "expired records");
    }

    #[test]
    fn offsets_lost_before_the_start_are_not_reported_again() {
        let mut sequence = Sequence::new(10, 20);
        assert!(sequence.reach(20), "the position moves past them");
        assert_eq!(sequence.lost(10..20, 20), None);
    }
}
