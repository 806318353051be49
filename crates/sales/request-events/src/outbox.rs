//! The records that wait until they are written. One task of an instance sends them, batch by batch, so
//! that no request waits for that.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dropped::Dropped;
use crate::event::Record;

/// Maximum number of records that wait or are being sent. The events of further requests are dropped,
/// and counted.
const RECORDS_MAX: usize = 4_096;

/// Maximum memory of these records, in bytes.
const BYTES_MAX: usize = 2 << 20;

/// Maximum number of records in a batch.
const BATCH_RECORDS_MAX: usize = 500;

/// Maximum number of these that are sent again. The others are new: a partition that accepts no records
/// must not keep the other partitions from getting any.
const REPEATED_RECORDS_MAX: usize = BATCH_RECORDS_MAX / 2;

/// Maximum number of records about dropped events that are not written yet. Further events stay in the
/// counts.
const COUNT_RECORDS_MAX: usize = 1_000;

/// Maximum time of an attempt. It is longer than that in which a producer gives up by default, which
/// knows for each record whether it was written.
pub const ATTEMPT_LIMIT: Duration = Duration::from_secs(12);

/// How long after the last request records are sent again that were not written. The host drops an
/// instance that continues to work for 30 s after its last answer, so an attempt must end before that.
const IDLE_MS_MAX: u64 = 15_000;

/// The pause before a batch that is not full: a request to the broker costs more than an event.
const GATHER_MS: u64 = 50;

/// The pause after an attempt in which nothing was written.
const RETRY_MS: u64 = 1_000;

/// What the task does after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It sends the next batch at once.
    Send,
    /// It sends the next batch after a pause of this number of milliseconds.
    Pause(u64),
    /// It ends. The next request starts another one.
    End,
}

impl Next {
    /// What a task begins with.
    pub const FIRST: Self = Self::Pause(GATHER_MS);
}

/// The records of an instance.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<Record>,
    sending: Vec<Record>,
    /// They were sent, and may have been written. The first one was sent before the others.
    unwritten: VecDeque<Record>,
    /// The memory of all of them.
    bytes: usize,
    /// The number of those that are about dropped events.
    counts: usize,
    dropped: Dropped,
    /// Whether a task sends records.
    has_task: bool,
    /// When the last record was added, by a monotonic clock.
    added_ms: u64,
}

impl Outbox {
    /// Adds a record, or drops it and counts that if there is no room. Returns whether the caller must
    /// start the task that sends records.
    pub fn add(&mut self, record: Record, now_ms: u64) -> bool {
        self.added_ms = now_ms;
        let bytes = self.bytes + record.bytes();
        let count = self.waiting.len() + self.sending.len() + self.unwritten.len();
        if count < RECORDS_MAX && bytes <= BYTES_MAX {
            self.bytes = bytes;
            self.waiting.push_back(record);
        } else {
            self.dropped.add(record.time_ms, record.series, record.requests);
        }
        !std::mem::replace(&mut self.has_task, true)
    }

    /// The next records to send, beginning with some of those that were sent and not written. `random`
    /// makes the ids of records about dropped events.
    pub fn batch(&mut self, mut random: impl FnMut() -> u128) -> &[Record] {
        let count = self.unwritten.len().min(REPEATED_RECORDS_MAX);
        self.sending.extend(self.unwritten.drain(..count));
        let room = BATCH_RECORDS_MAX.saturating_sub(self.sending.len());
        let count = self.waiting.len().min(room);
        self.sending.extend(self.waiting.drain(..count));
        while self.sending.len() < BATCH_RECORDS_MAX
            && self.counts < COUNT_RECORDS_MAX
            && let Some((time_ms, series, requests)) = self.dropped.take()
        {
            let record = Record::of_dropped(series, time_ms, requests, random());
            self.bytes += record.bytes();
            self.counts += 1;
            self.sending.push(record);
        }
        &self.sending
    }

    /// Notes which records of the batch the broker has acknowledged, in their order. The others may have
    /// been written, and are sent again as they are.
    pub fn attempted(&mut self, acknowledged: impl IntoIterator<Item = bool>, now_ms: u64) -> Next {
        let mut acknowledged = acknowledged.into_iter();
        let mut is_any_written = false;
        for record in self.sending.drain(..) {
            if acknowledged.next() == Some(true) {
                is_any_written = true;
                self.bytes -= record.bytes();
                self.counts -= usize::from(record.is_count);
            } else {
                self.unwritten.push_back(record);
            }
        }
        let repeated = self.unwritten.len();
        let is_idle = now_ms.saturating_sub(self.added_ms) >= IDLE_MS_MAX;
        let is_empty = repeated + self.waiting.len() == 0 && self.dropped.is_empty();
        let is_full = repeated.min(REPEATED_RECORDS_MAX) + self.waiting.len() >= BATCH_RECORDS_MAX;
        let has_counts = !self.dropped.is_empty() && self.counts < COUNT_RECORDS_MAX;
        let next = if is_empty || (repeated > 0 && is_idle) {
            Next::End
        } else if !is_any_written {
            Next::Pause(RETRY_MS)
        } else if is_full || has_counts {
            Next::Send
        } else {
            Next::Pause(GATHER_MS)
        };
        self.has_task = next != Next::End;
        next
    }

    /// The number of requests whose events are not written: they are lost if the instance ends.
    pub fn unwritten_requests(&self) -> u64 {
        let records = self.waiting.iter().chain(&self.sending).chain(&self.unwritten);
        records.map(|record| record.requests).sum::<u64>() + self.dropped.requests()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Method, StatusCode};
    use proptest::prelude::*;

    use super::*;
    use crate::{Exchange, Routes};

    /// Creates records, and ids for them.
    struct Source {
        routes: Routes,
        ids: u128,
    }

    impl Source {
        fn new() -> Self {
            Self { routes: Routes::parse("/a, /b").unwrap(), ids: 0 }
        }

        fn id(&mut self) -> u128 {
            self.ids += 1;
            self.ids
        }

        fn record(&mut self, path_with_query: &str, time_ms: u64) -> Record {
            let exchange = Exchange {
                method: &Method::GET,
                path_with_query,
                status: StatusCode::OK,
                duration: Duration::ZERO,
                time_ms,
            };
            exchange.record(exchange.series(&self.routes), self.id())
        }
    }

    fn ids(records: &[Record]) -> Vec<String> {
        records.iter().map(|record| record.id.clone()).collect()
    }

    /// The value's route, minute, and numbers of requests and dropped events.
    fn figures(record: &Record) -> (String, u64, u64, u64) {
        let value: serde_json::Value = serde_json::from_slice(&record.value).unwrap();
        let number = |name: &str| value[name].as_u64().unwrap();
        let route = value["route"].as_str().unwrap().to_owned();
        (route, number("time_ms") / 60_000, number("requests"), number("dropped"))
    }

    #[test]
    fn one_task_sends_all_records_and_ends() {
        let (mut source, mut outbox) = (Source::new(), Outbox::default());
        assert!(outbox.add(source.record("/a", 0), 0), "the first one starts it");
        assert!(!outbox.add(source.record("/b", 0), 0));
        let first = ids(outbox.batch(|| 0));
        assert_eq!(first.len(), 2);
        assert!(!outbox.add(source.record("/b", 0), 0), "it is sending");
        assert_eq!(outbox.attempted([true; 2], 0), Next::Pause(GATHER_MS));
        assert_eq!(outbox.batch(|| 0).len(), 1);
        assert_eq!(outbox.attempted([true], 0), Next::End);
        assert_eq!(outbox.bytes, 0);
        assert!(outbox.add(source.record("/a", 0), 0), "it has ended");
    }

    #[test]
    fn the_same_records_are_sent_again_until_requests_stop() {
        let (mut source, mut outbox) = (Source::new(), Outbox::default());
        for _ in 0..3 {
            outbox.add(source.record("/a", 0), 1_000);
        }
        let sent = ids(outbox.batch(|| 0));
        let pause = Next::Pause(RETRY_MS);
        // A result that is missing is none.
        assert_eq!(outbox.attempted([false], 2_000), pause);
        assert_eq!(ids(outbox.batch(|| 0)), sent);
        assert_eq!(outbox.attempted([false, true, false], 3_000), Next::Pause(GATHER_MS));
        assert_eq!(ids(outbox.batch(|| 0)), [&*sent[0], &sent[2]]);
        assert_eq!(outbox.attempted([false; 2], 1_000 + IDLE_MS_MAX - 1), pause);
        outbox.batch(|| 0);
        assert_eq!(outbox.attempted([false; 2], 1_000 + IDLE_MS_MAX), Next::End);
        assert!(outbox.add(source.record("/b", 0), 60_000), "another task sends them");
        let again = ids(outbox.batch(|| 0));
        assert_eq!(again[..2], [&*sent[0], &sent[2]]);
        assert_eq!(again.len(), 3, "with the new one");
    }

    /// A third of the records gets to a partition that accepts none.
    #[test]
    fn a_partition_without_a_leader_does_not_stop_the_others() {
        let (mut source, mut outbox) = (Source::new(), Outbox::default());
        let (mut added, mut written, mut last) = (0, 0, 0);
        let accepts =
            |record: &Record| !u128::from_str_radix(&record.id, 16).unwrap().is_multiple_of(3);
        for round in 0..200 {
            for _ in 0..100 {
                outbox.add(source.record("/a", round * 1_000), 0);
                added += 1;
            }
            let batch = outbox.batch(|| source.id());
            assert!(batch.len() <= BATCH_RECORDS_MAX);
            let acknowledged: Vec<_> = batch.iter().map(accepts).collect();
            let of_written = batch.iter().filter(|record| accepts(record));
            last = of_written.map(|record| record.requests).sum();
            written += last;
            outbox.attempted(acknowledged, 0);
        }
        assert!(last > 0, "the list is full of records of the other partition");
        assert_eq!(written + outbox.unwritten_requests(), added);
        // It has a leader again.
        for _ in 0..50 {
            let count = outbox.batch(|| source.id()).len();
            outbox.attempted(vec![true; count], 0);
        }
        assert_eq!((outbox.unwritten_requests(), outbox.bytes, outbox.counts), (0, 0, 0));
    }

    /// The time after the last request, with the last attempt and the pause before it.
    #[test]
    fn the_last_attempt_ends_before_the_host_drops_the_instance() {
        let pause = Duration::from_millis(IDLE_MS_MAX + RETRY_MS);
        assert!(pause + ATTEMPT_LIMIT < Duration::from_secs(30));
        assert!(ATTEMPT_LIMIT > Duration::from_secs(10), "the default of the producer");
    }

    #[test]
    fn what_does_not_fit_is_counted_by_minute_and_series() {
        let (mut source, mut outbox) = (Source::new(), Outbox::default());
        for _ in 0..RECORDS_MAX {
            outbox.add(source.record("/a", 0), 0);
        }
        for (path, time_ms) in [("/a", 1), ("/b", 59_999), ("/a", 2), ("/a", 60_000)] {
            outbox.add(source.record(path, time_ms), 0);
        }
        outbox.batch(|| 0);
        assert_eq!(outbox.attempted([true], 0), Next::Send, "the next batch is full");
        let mut dropped = Vec::new();
        loop {
            let batch = outbox.batch(|| source.id());
            let count = batch.len();
            assert!(count <= BATCH_RECORDS_MAX);
            dropped.extend(batch.iter().map(figures).filter(|figures| figures.3 > 0));
            if count == 0 {
                break;
            }
            outbox.attempted(vec![true; count], 0);
        }
        let expected = [("/a", 0, 0, 2), ("/b", 0, 0, 1), ("/a", 1, 0, 1)];
        assert_eq!(dropped, expected.map(|(route, minute, r, d)| (route.to_owned(), minute, r, d)));
        assert_eq!(outbox.bytes, 0);
    }

    #[test]
    fn the_memory_is_limited() {
        let (mut source, mut outbox) = (Source::new(), Outbox::default());
        // A new minute for each record: none can be counted together.
        for n in 0..20_000 {
            outbox.add(source.record("/b", n * 60_000), 0);
        }
        assert_eq!(outbox.waiting.len(), RECORDS_MAX);
        assert!(outbox.bytes <= BYTES_MAX);
        let mut requests = 0;
        loop {
            let batch = outbox.batch(|| source.id());
            let count = batch.len();
            requests += batch.iter().map(|record| record.requests).sum::<u64>();
            if count == 0 {
                break;
            }
            outbox.attempted(vec![true; count], 0);
        }
        assert_eq!(requests, 20_000);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(30))]

        /// Each request is in exactly one record that is written, as an event or in a count.
        #[test]
        fn no_request_is_lost_or_counted_twice(
            steps in prop::collection::vec(
                (0_usize..600, prop::collection::vec(any::<bool>(), 0..600)),
                1..20,
            )
        ) {
            let (mut source, mut outbox) = (Source::new(), Outbox::default());
            let (mut added, mut written) = (0, 0);
            let rest = (0, vec![true; BATCH_RECORDS_MAX]);
            for (count, acknowledged) in steps.into_iter().chain(vec![rest; 50]) {
                for n in 0..count {
                    let time_ms = n as u64 * 997;
                    outbox.add(source.record(["/a", "/b", "/c"][n % 3], time_ms), 0);
                    added += 1;
                }
                let batch = outbox.batch(|| source.id());
                let of_written = batch.iter().zip(&acknowledged).filter(|(_, written)| **written);
                written += of_written.map(|(record, _)| record.requests).sum::<u64>();
                outbox.attempted(acknowledged, 0);
            }
            prop_assert!(outbox.batch(|| 0).is_empty());
            prop_assert_eq!((written, outbox.bytes), (added, 0));
        }
    }
}
