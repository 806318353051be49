//! Decides where to begin reading a partition.
//!
//! Nothing in this file queries the cluster or the handler: the caller does, and passes the
//! answers.

use std::ops::Range;

use crate::extent::{Cut, Extent};
use crate::{Position, Start};

/// What is known about a partition before it is read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// The position that the handler has stored in this log.
    pub stored: Position,
    /// The group's committed offset, with the leader epoch that was committed.
    pub committed: Option<Extent>,
    /// How far this process has read the log.
    pub history: Option<Extent>,
    /// The offset up to which the handler had applied the log before its store lost everything.
    pub applied: Option<i64>,
    /// The offset that the setting `start` selects. Only [`Known::beginning`] decides whether it is
    /// needed, because it may cost a query.
    pub configured: Option<i64>,
}

/// Where to begin reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Beginning {
    pub start: i64,
    /// How far the log was read before.
    pub read: Extent,
    /// Whether the group has not committed an offset for this partition yet.
    pub is_new: bool,
    /// The offset up to which the group had read the log, if the handler's store lost it and is
    /// rebuilt from `start`.
    pub rebuilt_to: Option<i64>,
}

impl Known {
    /// Where to begin. `None` if that depends on `configured`, which is not known.
    pub fn beginning(&self) -> Option<Beginning> {
        match (self.stored, self.committed) {
            (Position::At(position), _) => Some(self.earlier_of_stored_and_committed(position)),
            (Position::Committed | Position::Adopted, Some(read)) => {
                Some(Beginning { start: read.end, read, is_new: false, rebuilt_to: None })
            }
            // Either the handler's store is new, or it has lost everything and is rebuilt.
            (Position::Start, Some(committed)) => {
                let start = self.configured?.min(committed.end);
                let applied = self.applied.unwrap_or(committed.end);
                let rebuilt_to = (start < applied).then_some(applied);
                Some(Beginning { start, read: Extent::up_to(start), is_new: false, rebuilt_to })
            }
            (Position::Committed | Position::Start | Position::Adopted, None) => {
                let start = self.configured?;
                let read = Extent::up_to(start);
                Some(Beginning { start, read, is_new: true, rebuilt_to: None })
            }
        }
    }

    /// The handler's position, or the committed offset if that is lower.
    ///
    /// The handler stores its position together with its results, but the engine commits only after
    /// the dead letters are written. A crash between the two would lose the dead letters if reading
    /// began at the handler's position. From the committed offset the handler gets those batches
    /// again, recognizes them, and returns its rejections once more.
    fn earlier_of_stored_and_committed(&self, position: i64) -> Beginning {
        let epoch = self.committed.map_or(-1, |committed| committed.epoch_at(position));
        let read = self.history.filter(|read| read.end >= position);
        Beginning {
            start: self.committed.map_or(position, |committed| committed.end.min(position)),
            read: read.unwrap_or(Extent { end: position, epoch }),
            is_new: self.committed.is_none(),
            rebuilt_to: None,
        }
    }
}

/// What the setting `start` selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Configured {
    /// This offset.
    Offset(i64),
    /// The first record that was written at this time or later, or the end of the log.
    WrittenAt(i64),
}

impl Configured {
    /// `partitions_at_start` is how many partitions the topic had when the group began to read it.
    /// A partition that was added later is read from its beginning, also if `start` is `latest`.
    pub fn new(
        start: Start,
        partition: i32,
        partitions_at_start: Option<i32>,
        (low, high): (i64, i64),
    ) -> Self {
        let is_added = partitions_at_start.is_some_and(|partitions| partition >= partitions);
        match start {
            Start::Latest if !is_added => Configured::Offset(high),
            Start::Earliest | Start::Latest => Configured::Offset(low),
            Start::Timestamp(ms) => Configured::WrittenAt(ms),
        }
    }
}

/// How a log compares with what was read of it before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// It is not known to differ.
    Same,
    /// It was rewritten from this offset on.
    RewrittenFrom(i64),
    /// It ends before what was read. The offset from which it was rewritten has to be determined
    /// from the timestamps of the records.
    Shortened,
}

impl Comparison {
    /// Compares what was read with a log that ends at `high`. `cut` is what the records that were
    /// read last have shown.
    ///
    /// The leader epochs of the records show a rewritten log, unless the brokers have lost the
    /// epochs together with the end of the log.
    pub fn new(read: Extent, cut: Option<Cut>, high: i64) -> Self {
        match cut {
            Some(Cut::At(from)) if from < read.end => Comparison::RewrittenFrom(from),
            Some(Cut::At(_)) => Comparison::Same,
            _ if high >= read.end => Comparison::Same,
            // The epochs of the next records will show it.
            None if read.epoch >= 0 => Comparison::Same,
            None | Some(Cut::Unknown) => Comparison::Shortened,
        }
    }
}

/// The offset from which a shortened log is read again. `written` is the first record that was
/// written shortly before the newest record that was read, or later.
pub(crate) fn reread_from(written: Option<i64>, start: i64, (low, high): (i64, i64)) -> i64 {
    written.unwrap_or(high).min(start).min(high).max(low)
}

/// The offsets from `start` on that a log that begins at `low` no longer holds.
pub(crate) fn lost(start: i64, low: i64) -> Option<Range<i64>> {
    (start < low).then_some(start..low)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extent() -> impl Strategy<Value = Extent> {
        (0_i64..100, -1_i32..5).prop_map(|(end, epoch)| Extent { end, epoch })
    }

    fn position() -> impl Strategy<Value = Position> {
        prop_oneof![
            Just(Position::Committed),
            Just(Position::Start),
            Just(Position::Adopted),
            (0_i64..100).prop_map(Position::At),
        ]
    }

    proptest! {
        #[test]
        fn nothing_that_may_be_unapplied_is_left_out(
            stored in position(),
            committed in prop::option::of(extent()),
            history in prop::option::of(extent()),
            applied in prop::option::of(0_i64..100),
            start in 0_i64..100,
        ) {
            let known = Known { stored, committed, history, applied, configured: None };
            let configured = Some(start);
            let beginning = match known.beginning() {
                Some(beginning) => {
                    prop_assert_eq!(Known { configured, ..known }.beginning(), Some(beginning));
                    beginning
                }
                None => Known { configured, ..known }.beginning().unwrap(),
            };
            prop_assert_eq!(beginning.is_new, committed.is_none());
            if let Some(committed) = committed {
                prop_assert!(beginning.start <= committed.end);
            }
            match (stored, committed) {
                (Position::At(position), committed) => {
                    let earlier = committed.map_or(position, |c| c.end.min(position));
                    prop_assert_eq!(beginning.start, earlier);
                    prop_assert!(beginning.read.end >= position, "the handler has read this far");
                }
                (Position::Committed | Position::Adopted, Some(committed)) => {
                    prop_assert_eq!(beginning.read, committed);
                    prop_assert_eq!(beginning.start, committed.end);
                }
                (_, committed) => {
                    prop_assert_eq!(beginning.start, committed.map_or(start, |c| c.end.min(start)));
                }
            }
            if let Some(to) = beginning.rebuilt_to {
                prop_assert_eq!(stored, Position::Start);
                prop_assert_eq!(Some(to), applied.or(committed.map(|committed| committed.end)));
                prop_assert!(beginning.start < to);
            }
        }

        #[test]
        fn reading_continues_inside_the_log(
            written in prop::option::of(0_i64..200), start in 0_i64..200,
            low in 0_i64..100, length in 0_i64..100,
        ) {
            let high = low + length;
            let from = reread_from(written, start, (low, high));
            prop_assert!((low..=high).contains(&from));
            prop_assert!(from <= start.max(low));
            match lost(start, low) {
                Some(lost) => prop_assert_eq!((lost.start, lost.end), (start, low)),
                None => prop_assert!(start >= low),
            }
        }

        #[test]
        fn a_log_that_holds_what_was_read_is_the_same(read in extent(), more in 0_i64..100) {
            let high = read.end + more;
            prop_assert_eq!(Comparison::new(read, None, high), Comparison::Same);
            prop_assert_eq!(Comparison::new(read, Some(Cut::Unknown), high), Comparison::Same);
        }
    }

    #[test]
    fn the_setting_applies_only_where_nothing_is_stored_or_committed() {
        let known = |stored, committed| Known {
            stored,
            committed,
            history: None,
            applied: None,
            configured: None,
        };
        let committed = Some(Extent { end: 7, epoch: 2 });
        assert_eq!(known(Position::Committed, None).beginning(), None);
        assert_eq!(known(Position::Start, committed).beginning(), None);
        assert!(known(Position::Committed, committed).beginning().is_some());
        assert!(known(Position::At(3), None).beginning().is_some());
    }

    #[test]
    fn an_empty_store_is_rebuilt_from_the_configured_start() {
        let known = Known {
            stored: Position::Start,
            committed: Some(Extent { end: 50, epoch: 2 }),
            history: None,
            applied: None,
            configured: Some(10),
        };
        let beginning = known.beginning().unwrap();
        assert_eq!((beginning.start, beginning.rebuilt_to), (10, Some(50)));
        let beginning = Known { applied: Some(60), ..known }.beginning().unwrap();
        assert_eq!((beginning.start, beginning.rebuilt_to), (10, Some(60)));
        let beginning = Known { configured: Some(90), ..known }.beginning().unwrap();
        assert_eq!((beginning.start, beginning.rebuilt_to), (50, None), "the store is new");
    }

    #[test]
    fn the_committed_epoch_is_used_only_for_what_it_covers() {
        let known = |position, history| Known {
            stored: Position::At(position),
            committed: Some(Extent { end: 5, epoch: 2 }),
            history,
            applied: None,
            configured: None,
        };
        let read = |position, history| known(position, history).beginning().unwrap().read;
        assert_eq!(read(5, None), Extent { end: 5, epoch: 2 });
        assert_eq!(read(6, None), Extent { end: 6, epoch: -1 });
        let history = Some(Extent { end: 9, epoch: 4 });
        assert_eq!(read(6, history), Extent { end: 9, epoch: 4 });
        assert_eq!(read(10, history), Extent { end: 10, epoch: -1 });
    }

    #[test]
    fn latest_is_the_end_except_for_added_partitions() {
        let configured = |start, partition| Configured::new(start, partition, Some(3), (10, 90));
        assert_eq!(configured(Start::Earliest, 0), Configured::Offset(10));
        assert_eq!(configured(Start::Latest, 2), Configured::Offset(90));
        assert_eq!(configured(Start::Latest, 3), Configured::Offset(10));
        assert_eq!(configured(Start::Timestamp(7), 3), Configured::WrittenAt(7));
    }

    #[test]
    fn a_shorter_log_is_read_again_from_where_it_was_rewritten() {
        let known = Extent { end: 50, epoch: 3 };
        assert_eq!(Comparison::new(known, Some(Cut::At(40)), 90), Comparison::RewrittenFrom(40));
        assert_eq!(Comparison::new(known, Some(Cut::At(50)), 90), Comparison::Same);
        assert_eq!(Comparison::new(known, None, 40), Comparison::Same, "the epochs will show it");
        assert_eq!(Comparison::new(known, Some(Cut::Unknown), 40), Comparison::Shortened);
        assert_eq!(Comparison::new(Extent::up_to(50), None, 40), Comparison::Shortened);
        assert_eq!(reread_from(None, 50, (0, 40)), 40, "no record has a timestamp");
        assert_eq!(reread_from(Some(30), 50, (0, 40)), 30);
        assert_eq!(reread_from(Some(30), 20, (0, 40)), 20, "not all of it was applied");
    }
}
