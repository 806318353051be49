//! Divides a batch: by the keys of its records, and in halves after a failure of the handler.
//!
//! Nothing in this file calls the handler. [`Bisection`] gets the result of each call and returns
//! what to do next.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use crate::Batch;
use crate::backoff::Backoff;
use crate::batch::expected_after;

/// A batch, or a part of one, that is to be handed to the handler.
pub(crate) struct Part {
    pub batch: Arc<Batch>,
    /// Number of failures of the handler with this part, or with a larger part that contained it.
    pub failures: u32,
    backoff: Backoff,
}

/// The rules by which a batch is divided.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// Number of failures after which a single record is poison.
    pub poison_attempts: u32,
    /// Number of failures with offsets that hold no record after which the handler counts as
    /// broken.
    pub empty_failures_max: u32,
    /// The pauses before the same part is handed over again.
    pub backoff: Backoff,
    /// Whether the handler keeps its position. Such a handler must also get the offsets without
    /// records.
    pub keeps_position: bool,
    /// Whether the parts are handed over in the order of their offsets, one at a time. Each part
    /// then moves the position.
    pub in_order: bool,
}

/// What to do after the handler failed with a part.
pub(crate) enum AfterFailure {
    /// Continue with the next part: this part was divided.
    Continue,
    /// Continue after a pause: the next part is the same one.
    Retry(Duration),
    /// Give up the only record of this part, and then call [`Bisection::given_up`].
    GiveUp(Part),
    /// Stop: the handler fails with offsets that hold no record.
    Stop(Part),
}

/// Applies a batch in parts. A part with which the handler fails is halved until it holds a single
/// record; if the handler still fails, that record is poison.
pub(crate) struct Bisection {
    /// The parts that are not applied yet; the last one is next.
    parts: Vec<Part>,
    rules: Rules,
}

impl Bisection {
    pub fn new(batch: Batch, rules: Rules) -> Self {
        let first = Part { batch: Arc::new(batch), failures: 0, backoff: rules.backoff.clone() };
        Self { parts: vec![first], rules }
    }

    /// The part to hand over next; `None` after the last one.
    pub fn next_part(&mut self) -> Option<Part> {
        self.parts.pop()
    }

    /// Notes that the part was applied. Returns the offset to store, if this part moves the
    /// position.
    pub fn applied(&self, part: &Part) -> Option<i64> {
        self.rules.in_order.then_some(part.batch.end)
    }

    /// Notes that the handler failed with the part.
    pub fn failed(&mut self, mut part: Part) -> AfterFailure {
        part.failures = part.failures.saturating_add(1);
        Arc::make_mut(&mut part.batch).next_attempt();
        match part.batch.records.len() {
            0 if part.failures > self.rules.empty_failures_max => AfterFailure::Stop(part),
            1 if part.failures >= self.rules.poison_attempts => AfterFailure::GiveUp(part),
            0 | 1 => {
                let pause = part.backoff.next_pause();
                self.parts.push(part);
                AfterFailure::Retry(pause)
            }
            _ => {
                let halves = self.halves(part);
                self.parts.extend(halves);
                AfterFailure::Continue
            }
        }
    }

    /// Notes that the record of the part was given up. Returns the offset to store, if this part
    /// moves the position.
    pub fn given_up(&mut self, part: &Part) -> Option<i64> {
        if !self.rules.keeps_position {
            return self.applied(part);
        }
        // The handler's own position still has to move past the offsets of the part.
        let batch = Arc::new(part.batch.clone_empty());
        self.parts.push(Part { batch, failures: 0, backoff: self.rules.backoff.clone() });
        None
    }

    /// The two halves, the second one first: the next part is taken from the end of `parts`.
    fn halves(&self, part: Part) -> [Part; 2] {
        let failures = part.failures;
        let mut batch = Arc::unwrap_or_clone(part.batch);
        let records = batch.records.split_off(batch.records.len() / 2);
        let middle = batch.records.last().map_or(batch.start, |last| last.offset + 1);
        let mut second = Batch { start: middle, records, ..batch.clone_empty() };
        if self.rules.keeps_position {
            second.expected_position = expected_after(batch.expected_position, middle);
        }
        batch.end = middle;
        [second, batch].map(|batch| Part {
            batch: Arc::new(batch),
            failures,
            backoff: self.rules.backoff.clone(),
        })
    }
}

/// Divides a batch by key into at most `parts` batches. Records with the same key stay in one
/// batch, in order. Each batch covers all offsets of the original one and has gaps.
pub(crate) fn by_key(mut batch: Batch, parts: usize) -> Vec<Batch> {
    let mut divided: HashMap<u64, Batch> = HashMap::new();
    for message in std::mem::take(&mut batch.records) {
        let mut hasher = DefaultHasher::new();
        message.key.hash(&mut hasher);
        let part = hasher.finish() % parts as u64;
        divided.entry(part).or_insert_with(|| batch.clone_empty()).records.push(message);
    }
    divided.into_values().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::Message;

    fn batch(offsets: impl IntoIterator<Item = i64>, end: i64) -> Batch {
        let message = |offset| Message {
            offset,
            timestamp_ms: None,
            key: None,
            value: None,
            headers: Vec::new(),
        };
        Batch {
            topic: "t".into(),
            log_id: "l".into(),
            partition: 0,
            group: "g".into(),
            expected_position: None,
            start: 0,
            end,
            attempt: 1,
            records: offsets.into_iter().map(message).collect(),
        }
    }

    fn rules(poison_attempts: u32, keeps_position: bool) -> Rules {
        let backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
        Rules { poison_attempts, empty_failures_max: 3, backoff, keeps_position, in_order: true }
    }

    /// What became of a batch.
    #[derive(Debug, Default)]
    struct Run {
        /// The parts that were applied, with their records.
        applied: Vec<(i64, i64, Vec<i64>)>,
        /// The records that were given up, with the number of failures.
        poison: Vec<(i64, u32)>,
        stored: Vec<i64>,
        calls: u32,
        stopped: bool,
    }

    /// Applies the batch with a handler that fails where `fails` says so.
    fn run(batch: Batch, rules: Rules, mut fails: impl FnMut(&Batch) -> bool) -> Run {
        let (mut bisection, mut run) = (Bisection::new(batch, rules), Run::default());
        while let Some(part) = bisection.next_part() {
            run.calls += 1;
            if !fails(&part.batch) {
                let Batch { start, end, records, .. } = &*part.batch;
                let offsets = records.iter().map(|message| message.offset).collect();
                run.applied.push((*start, *end, offsets));
                run.stored.extend(bisection.applied(&part));
                continue;
            }
            match bisection.failed(part) {
                AfterFailure::Continue | AfterFailure::Retry(_) => {}
                AfterFailure::GiveUp(part) => {
                    assert_eq!(part.batch.records.len(), 1);
                    run.poison.push((part.batch.records[0].offset, part.failures));
                    run.stored.extend(bisection.given_up(&part));
                }
                AfterFailure::Stop(_) => {
                    run.stopped = true;
                    break;
                }
            }
        }
        run
    }

    fn offsets(run: &Run) -> Vec<i64> {
        run.applied.iter().flat_map(|(_, _, offsets)| offsets).copied().collect()
    }

    proptest! {
        #[test]
        fn exactly_the_bad_records_are_given_up_and_the_others_are_applied_once_in_order(
            records in prop::collection::btree_map(0_i64..500, prop::bool::weighted(0.1), 1..200),
            poison_attempts in 1_u32..5,
            keeps_position: bool,
        ) {
            let batch = batch(records.keys().copied(), 500);
            let bad: BTreeSet<i64> =
                records.iter().filter(|(_, bad)| **bad).map(|(offset, _)| *offset).collect();
            let good: Vec<i64> =
                records.keys().copied().filter(|offset| !bad.contains(offset)).collect();
            let run = run(batch, rules(poison_attempts, keeps_position), |part| {
                part.records.iter().any(|message| bad.contains(&message.offset))
            });

            prop_assert!(!run.stopped);
            prop_assert_eq!(offsets(&run), good);
            let poison: Vec<i64> = run.poison.iter().map(|(offset, _)| *offset).collect();
            prop_assert_eq!(poison, bad.iter().copied().collect::<Vec<_>>());
            let halvings = records.len().ilog2() + 1;
            for (_, failures) in &run.poison {
                prop_assert!((poison_attempts..=poison_attempts + halvings).contains(failures));
            }
            let calls = 1 + bad.len() as u32 * (2 * halvings + poison_attempts + 1);
            prop_assert!(run.calls <= calls, "{} calls of at most {calls}", run.calls);

            // The offset moves forward only, and reaches the end of the batch.
            prop_assert!(run.stored.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert_eq!(run.stored.last(), Some(&500));
            // A handler that keeps its position gets every offset, without a gap.
            if keeps_position {
                let mut next = 0;
                for (start, end, _) in &run.applied {
                    prop_assert_eq!(*start, next);
                    next = *end;
                }
                prop_assert_eq!(next, 500);
            }
        }

        #[test]
        fn a_handler_that_recovers_in_time_loses_no_record(
            records in 1_i64..100, failing in 0_u32..3, keeps_position: bool,
        ) {
            let mut left = failing;
            let run = run(batch(0..records, records), rules(3, keeps_position), |_| {
                let fails = left > 0;
                left = left.saturating_sub(1);
                fails
            });
            prop_assert!(run.poison.is_empty());
            prop_assert_eq!(offsets(&run), (0..records).collect::<Vec<_>>());
            prop_assert_eq!(run.stored.last(), Some(&records));
        }

        #[test]
        fn parts_by_key_hold_each_record_once_and_keep_the_order_of_each_key(
            keys in prop::collection::vec(0_u8..20, 0..200), parts in 2_usize..8,
        ) {
            let mut batch = batch(0..keys.len() as i64, keys.len() as i64);
            for (message, key) in batch.records.iter_mut().zip(&keys) {
                message.key = Some(vec![*key].into());
            }
            let divided = by_key(batch.clone(), parts);
            prop_assert!(divided.len() <= parts);
            let mut part_of_key = HashMap::new();
            let mut offsets = Vec::new();
            for (number, part) in divided.iter().enumerate() {
                prop_assert!(part.records.windows(2).all(|pair| pair[0].offset < pair[1].offset));
                prop_assert_eq!((part.start, part.end), (batch.start, batch.end));
                for message in &part.records {
                    let first = *part_of_key.entry(message.key.clone()).or_insert(number);
                    prop_assert_eq!(first, number);
                    offsets.push(message.offset);
                }
            }
            offsets.sort_unstable();
            prop_assert_eq!(offsets, (0..keys.len() as i64).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_half_expects_the_position_after_the_first_and_counts_the_attempts() {
        for (keeps_position, expected) in [(true, [None, Some(4)]), (false, [None, None])] {
            let mut bisection = Bisection::new(batch(0..8, 8), rules(1, keeps_position));
            let whole = bisection.next_part().unwrap();
            assert!(matches!(bisection.failed(whole), AfterFailure::Continue));
            let halves = [bisection.next_part().unwrap(), bisection.next_part().unwrap()];
            assert_eq!(halves.each_ref().map(|half| half.batch.expected_position), expected);
            assert_eq!(halves.each_ref().map(|half| half.batch.attempt), [2, 2]);
        }
    }

    #[test]
    fn a_handler_that_fails_without_a_record_is_broken() {
        let run = run(batch([], 9), rules(1, true), |_| true);
        assert!(run.stopped && run.poison.is_empty());
        assert_eq!(run.calls, 4, "the limit is 3 failures");
    }

    #[test]
    fn parts_that_are_handed_over_side_by_side_do_not_move_the_position() {
        let rules = Rules { in_order: false, ..rules(1, false) };
        let run = run(batch(0..8, 8), rules, |part| part.records.iter().any(|m| m.offset == 3));
        assert_eq!(run.poison, [(3, 4)]);
        assert!(run.stored.is_empty());
    }
}
