//! Gathers the records of a partition into batches: in the order of their offsets, each one once.
//! Detects offsets that the log has lost, and a log that was rewritten.
//!
//! Nothing in this file waits or reads the queue: [`Reader`](super::reader::Reader) does.

use std::ops::Range;

use crate::Message;
use crate::batch::{BatchBuilder, Gathered};
use crate::extent::{Cut, Extent};
use crate::sequence::{Sequence, Step};

/// The lowest and the highest offset of the log according to the last fetch response; negative if
/// unknown.
pub(crate) type Watermarks = (i64, i64);

/// A record that was fetched.
pub(crate) struct Fetched {
    pub offset: i64,
    /// `None` if a filter dropped the record.
    pub message: Option<Message>,
    /// The broker that served the record.
    pub broker: i32,
    /// The leader epoch under which the record was written; negative if it has none.
    pub epoch: i32,
}

/// What was done with a record.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// It was added to the batch.
    Added,
    /// A filter dropped it; the batch covers its offset.
    Filtered,
    /// It was read before.
    Repeated,
    /// It lies at or after the end of the range to read.
    AfterEnd,
    /// The log was rewritten. The record was not added.
    Rewritten(Cut),
}

/// Where records came from.
#[derive(Debug, Default)]
pub(crate) struct Origin {
    /// The brokers that served them.
    pub brokers: Vec<i32>,
    /// Ranges of offsets before the records that the log no longer holds.
    pub lost: Vec<Range<i64>>,
}

/// Gathers the records of a partition into batches.
pub(crate) struct Gatherer {
    builder: BatchBuilder,
    sequence: Sequence,
    /// Where the records in the builder came from.
    origin: Origin,
    /// How far the log was read.
    read: Extent,
    /// The offset before which reading ends; `None` if there is no limit.
    until: Option<i64>,
    ended: bool,
}

impl Gatherer {
    /// `until`, if it is given, must not be beyond the end of the log.
    pub fn new(records_max: usize, bytes_max: usize, until: Option<i64>) -> Self {
        Self {
            builder: BatchBuilder::new(records_max, bytes_max),
            sequence: Sequence::new(0, 0),
            origin: Origin::default(),
            read: Extent::up_to(0),
            until,
            ended: false,
        }
    }

    /// Continues at `start`. The client reads from `read_from`; the loss of the offsets before that
    /// was reported. `read` is how far the log was read before.
    pub fn begin(&mut self, start: i64, read_from: i64, read: Extent) {
        self.clear();
        self.origin = Origin::default();
        self.sequence = Sequence::new(start, read_from);
        self.read = read;
    }

    /// Drops everything that was gathered.
    pub fn clear(&mut self) {
        self.builder.clear();
    }

    pub fn is_full(&self) -> bool {
        self.builder.is_full()
    }

    /// Whether nothing was gathered.
    pub fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// Whether everything before the limit was read.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// How far the log was read.
    pub fn read(&self) -> Extent {
        self.read
    }

    /// The lowest offset that the next record may have.
    pub fn next_offset(&self) -> i64 {
        self.sequence.next()
    }

    /// Takes what was gathered; `None` if nothing was.
    pub fn take(&mut self) -> Option<(Gathered, Origin)> {
        let gathered = self.builder.take()?;
        let origin = std::mem::take(&mut self.origin);
        if !self.builder.is_empty() {
            // The record that did not fit begins the next batch. It was served by the last broker.
            self.origin.brokers.extend(origin.brokers.last());
        }
        Some((gathered, origin))
    }

    /// Adds a record. `watermarks` is called only if the offset is not the next one.
    pub fn observe(
        &mut self,
        record: Fetched,
        watermarks: impl FnOnce() -> Watermarks,
    ) -> Observed {
        let Fetched { offset, message, broker, epoch } = record;
        if self.until.is_some_and(|until| offset >= until) {
            self.ended = true;
            return Observed::AfterEnd;
        }
        // A replica without the end of the log was elected leader, and new records were written
        // since. librdkafka requests from the leader the offset at which its log diverges from the
        // old one, and continues from there.
        if !self.read.observe(offset, epoch) {
            return Observed::Rewritten(Cut::At(offset));
        }
        match self.sequence.observe(offset) {
            Step::Next => {}
            Step::Gap { from } => self.find_loss(from..offset, watermarks()),
            // After a rebalance, librdkafka fetches queued records again. The last record may then
            // be delivered twice.
            Step::Behind => {
                return match self.shortened(watermarks()) {
                    Some(cut) => Observed::Rewritten(cut),
                    None => Observed::Repeated,
                };
            }
        }
        self.add_broker(broker);
        match message {
            Some(message) => {
                self.builder.push(message);
                Observed::Added
            }
            None => {
                self.builder.pass_over(offset);
                Observed::Filtered
            }
        }
    }

    /// Notes that everything before `end` was read. Offsets without a delivered record are passed
    /// over: transaction markers, aborted records, and records that were deleted or compacted away.
    pub fn reach(
        &mut self,
        end: i64,
        broker: i32,
        watermarks: impl FnOnce() -> Watermarks,
    ) -> Option<Cut> {
        // `new` requires that the log has reached the limit, so the end of the log ends a limited
        // read, too.
        self.ended = self.until.is_some();
        let from = self.sequence.next();
        if end < from.max(self.read.end) {
            return self.shortened(watermarks());
        }
        self.read.reach(end);
        if self.sequence.reach(end) {
            self.find_loss(from..end, watermarks());
            self.add_broker(broker);
            self.builder.pass_over(end - 1);
        }
        None
    }

    /// A cut if the log ends before what was read: it was replaced, or it lost its end.
    fn shortened(&self, (_, high): Watermarks) -> Option<Cut> {
        let end = self.sequence.next().max(self.read.end);
        (0..end).contains(&high).then_some(Cut::Unknown)
    }

    fn find_loss(&mut self, gap: Range<i64>, (low, _): Watermarks) {
        self.origin.lost.extend(self.sequence.lost(gap, low));
    }

    fn add_broker(&mut self, broker: i32) {
        if !self.origin.brokers.contains(&broker) {
            self.origin.brokers.push(broker);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(offset: i64, epoch: i32) -> Fetched {
        let message =
            Message { offset, timestamp_ms: None, key: None, value: None, headers: Vec::new() };
        Fetched { offset, message: Some(message), broker: 1, epoch }
    }

    fn gatherer(start: i64, until: Option<i64>) -> Gatherer {
        let mut gatherer = Gatherer::new(1_000, 1 << 20, until);
        gatherer.begin(start, start, Extent::up_to(start));
        gatherer
    }

    fn known() -> Watermarks {
        panic!("the watermarks are not needed")
    }

    proptest! {
        #[test]
        fn records_that_are_fetched_again_are_gathered_once_in_order(
            fetches in prop::collection::vec((0_i64..50, 0_i64..20), 0..20),
        ) {
            // Each fetch begins somewhere in what was read, as after a rebalance.
            let (mut gatherer, mut next) = (gatherer(0, None), 0);
            for (back, count) in fetches {
                let from = (next - back).max(0);
                for offset in from..from + count {
                    let observed = gatherer.observe(record(offset, 1), || (0, 10_000));
                    let expected = if offset < next { Observed::Repeated } else { Observed::Added };
                    prop_assert_eq!(observed, expected);
                    next = next.max(offset + 1);
                }
            }
            let gathered = gatherer.take().map(|(gathered, _)| gathered);
            let offsets: Vec<i64> =
                gathered.iter().flat_map(|g| &g.records).map(|message| message.offset).collect();
            prop_assert_eq!(offsets, (0..next).collect::<Vec<_>>());
            prop_assert_eq!(gathered.map_or(0, |gathered| gathered.end), next);
        }
    }

    #[test]
    fn a_gap_below_the_start_of_the_log_is_a_loss() {
        let mut gatherer = gatherer(10, None);
        assert_eq!(gatherer.observe(record(10, 1), known), Observed::Added);
        assert_eq!(gatherer.observe(record(30, 1), || (25, 90)), Observed::Added);
        let (gathered, origin) = gatherer.take().unwrap();
        assert_eq!((gathered.records.len(), gathered.end), (2, 31));
        assert_eq!((origin.lost.len(), &origin.lost[0]), (1, &(11..25)));
        assert_eq!(origin.brokers, [1]);
    }

    #[test]
    fn a_filtered_record_moves_the_end_of_the_batch() {
        let mut gatherer = gatherer(0, None);
        let dropped = Fetched { message: None, ..record(0, 1) };
        assert_eq!(gatherer.observe(dropped, known), Observed::Filtered);
        let (gathered, _) = gatherer.take().unwrap();
        assert_eq!((gathered.records.len(), gathered.end), (0, 1));
    }

    #[test]
    fn a_log_that_was_rewritten_is_detected_by_epochs_and_by_its_length() {
        let mut gatherer = gatherer(0, None);
        for offset in 0..10 {
            gatherer.observe(record(offset, 4), known);
        }
        let rewritten = gatherer.observe(record(7, 5), known);
        assert_eq!(rewritten, Observed::Rewritten(Cut::At(7)));
        let shortened = gatherer.observe(record(7, 4), || (0, 8));
        assert_eq!(shortened, Observed::Rewritten(Cut::Unknown));
        assert_eq!(gatherer.observe(record(7, 4), || (0, -1)), Observed::Repeated, "not known");
        assert_eq!(gatherer.reach(8, 1, || (0, 8)), Some(Cut::Unknown));
        assert_eq!(gatherer.reach(10, 1, known), None);
    }

    #[test]
    fn a_range_ends_at_its_limit_or_at_the_end_of_the_log() {
        let mut limited = gatherer(0, Some(2));
        assert_eq!(limited.observe(record(1, 1), || (0, 9)), Observed::Added);
        assert!(!limited.has_ended());
        assert_eq!(limited.observe(record(2, 1), known), Observed::AfterEnd);
        assert!(limited.has_ended());
        let mut limited = gatherer(0, Some(2));
        assert_eq!(limited.reach(2, 1, || (0, 2)), None);
        assert!(limited.has_ended());
        let mut unlimited = gatherer(0, None);
        unlimited.reach(2, 1, || (0, 2));
        assert!(!unlimited.has_ended());
    }
}
