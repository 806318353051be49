//! A partition: the queued records and the batch in flight.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;

use crate::OutgoingRecord;
use crate::encode::{self, BATCH_OVERHEAD, Entry};
use crate::fault::Fault;
use crate::record::bytes_max;
use crate::sequence::{ProducerId, Sequence};
use crate::ticket::Shared;
use crate::{Config, Delivery, ProduceError};

/// Maximum number of records in a batch.
const BATCH_RECORDS_MAX: usize = 10_000;

/// A record and the ticket of its call.
pub struct Queued<W> {
    pub record: OutgoingRecord,
    pub timestamp_ms: i64,
    pub ticket: Shared<W>,
    /// The record's index among the records of the ticket.
    pub index: usize,
}

impl<W> Queued<W> {
    fn failed(&self, error: impl FnOnce() -> ProduceError) {
        self.ticket.failed(self.index, error);
    }

    /// Whether no call waits for the record any more.
    fn is_settled(&self) -> bool {
        self.ticket.is_settled(self.index)
    }
}

/// Records as they are sent. They are sent again byte for byte, so that the broker recognises them.
pub struct Batch<W> {
    /// Distinguishes this batch from the partition's other batches.
    id: u64,
    pub bytes: Bytes,
    pub records: VecDeque<Queued<W>>,
    /// Whether an unanswered attempt may have been written.
    pub in_doubt: bool,
    attempts: u32,
}

/// One attempt to send a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    batch: u64,
    number: u32,
    /// Whether an earlier attempt may have been written.
    doubted: bool,
}

/// The records of a partition that are not acknowledged.
pub struct Partition<W> {
    pub topic: Rc<str>,
    pub number: i32,
    /// The broker to send to; None if it must be requested.
    pub leader: Option<i32>,
    pub queue: VecDeque<Queued<W>>,
    pub batch: Option<Batch<W>>,
    /// The last temporary failure; None if there was none since the last success.
    pub fault: Option<Fault>,
    sequence: Option<Sequence>,
    batches: u64,
    /// Maximum number of records in the next batch. It is reduced after a batch that was too large.
    batch_records_max: usize,
}

impl<W> Partition<W> {
    pub fn new(topic: Rc<str>, number: i32) -> Self {
        Self {
            topic,
            number,
            leader: None,
            queue: VecDeque::new(),
            batch: None,
            fault: None,
            sequence: None,
            batches: 0,
            batch_records_max: BATCH_RECORDS_MAX,
        }
    }

    /// Sets the leader. If it has changed, wakes the waiting calls.
    pub fn set_leader(&mut self, leader: Option<i32>) {
        if self.leader != leader {
            self.leader = leader;
            self.tickets().for_each(|ticket| {
                ticket.wake();
            });
        }
    }

    /// Whether no record is waiting.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.batch.is_none()
    }

    /// The tickets of the waiting records, the oldest first. A ticket occurs once for each of its
    /// records.
    pub fn tickets(&self) -> impl Iterator<Item = &Shared<W>> {
        self.waiting().map(|queued| &queued.ticket)
    }

    /// The waiting records, the oldest first.
    fn waiting(&self) -> impl Iterator<Item = &Queued<W>> {
        let sent = self.batch.iter().flat_map(|batch| &batch.records);
        sent.chain(&self.queue)
    }

    /// Fails the records whose calls began at `entered` or before.
    pub fn expire(&self, entered: Duration, error: impl Fn() -> ProduceError) {
        for queued in self.waiting().filter(|queued| queued.ticket.entered <= entered) {
            queued.failed(&error);
        }
    }

    /// Fails all records: with `doubt` those that may have been written, the others with `error`.
    pub fn fail(&self, error: impl Fn() -> ProduceError, doubt: impl Fn() -> ProduceError) {
        if let Some(batch) = &self.batch {
            batch.fail(|| if batch.in_doubt { doubt() } else { error() });
        }
        self.queue.iter().for_each(|queued| queued.failed(&error));
    }

    /// Removes the records of a cancelled call that were not sent.
    pub fn remove_unsent(&mut self, ticket: u64) {
        self.queue.retain(|queued| queued.ticket.id != ticket);
    }

    /// The batch to send: the one in flight, otherwise a new one of the queued records. None if
    /// there are none.
    pub fn batch_to_send(
        &mut self,
        producer: ProducerId,
        config: &Config,
    ) -> Option<&mut Batch<W>> {
        if self.batch.is_none() {
            self.batch = self.next_batch(producer, config);
        }
        self.batch.as_mut()
    }

    fn next_batch(&mut self, producer: ProducerId, config: &Config) -> Option<Batch<W>> {
        let (mut records, mut bytes) = (VecDeque::new(), 0);
        while let Some(queued) = self.queue.pop_front() {
            if queued.is_settled() {
                continue;
            }
            bytes += bytes_max(&queued.record);
            let full = bytes + BATCH_OVERHEAD > config.request_bytes_max
                || records.len() >= self.batch_records_max;
            if full && !records.is_empty() {
                self.queue.push_front(queued);
                break;
            }
            records.push_back(queued);
        }
        let count = i32::try_from(records.len()).ok().filter(|count| *count > 0)?;
        let sequence = *self.sequence.get_or_insert(Sequence::first(producer));
        let entries = records
            .iter()
            .map(|queued| Entry { record: &queued.record, timestamp_ms: queued.timestamp_ms });
        let bytes = encode::batch(entries, count, sequence, config.compression);
        self.batches += 1;
        Some(Batch { id: self.batches, bytes, records, in_doubt: false, attempts: 0 })
    }

    /// Whether the batch's newest record arrived at `entered` or before.
    pub fn is_overdue(&self, entered: Duration) -> bool {
        let overdue = |queued: &Queued<W>| queued.ticket.entered <= entered;
        self.batch.as_ref().is_some_and(|batch| batch.records.iter().all(overdue))
    }

    /// Drops the batch. If it may have been written, a higher epoch begins, so that the broker
    /// refuses the old batch. Returns whether the producer id can still be used.
    pub fn drop_batch(&mut self) -> bool {
        let in_doubt = self.batch.take().is_some_and(|batch| batch.in_doubt);
        !in_doubt || self.fence()
    }

    /// Begins a higher epoch. Returns false if there is none, and a new producer id is needed.
    pub fn fence(&mut self) -> bool {
        let fenced = self.sequence.and_then(Sequence::fence);
        let exhausted = self.sequence.is_some() && fenced.is_none();
        self.sequence = fenced;
        !exhausted
    }

    /// The broker has written the batch.
    pub fn written(&mut self, base_offset: i64) {
        let Some(batch) = self.batch.take() else { return };
        self.fault = None;
        self.batch_records_max = (self.batch_records_max * 2).min(BATCH_RECORDS_MAX);
        if let (Some(sequence), Ok(count)) =
            (&mut self.sequence, i32::try_from(batch.records.len()))
        {
            sequence.advance(count);
        }
        for (number, queued) in (0..).zip(&batch.records) {
            // A broker that recognises an old batch as a duplicate may not know its offset, and
            // returns -1.
            let offset = (base_offset >= 0).then(|| base_offset.saturating_add(number));
            let delivery = Delivery { partition: self.number, offset };
            queued.ticket.delivered(queued.index, delivery);
        }
    }

    /// Puts the records of a batch that was not written back into the queue. The next batches have
    /// at most `records_max` records.
    pub fn requeue_batch(&mut self, records_max: usize) {
        let Some(batch) = self.batch.take() else { return };
        self.batch_records_max = records_max.max(1);
        batch.records.into_iter().rev().for_each(|queued| self.queue.push_front(queued));
    }
}

impl<W> Batch<W> {
    /// Begins an attempt. From now on the batch may have been written.
    pub fn attempt(&mut self) -> Attempt {
        self.attempts += 1;
        let doubted = std::mem::replace(&mut self.in_doubt, true);
        Attempt { batch: self.id, number: self.attempts, doubted }
    }

    /// Whether another attempt may have been written: an earlier one, or one that was begun later
    /// with a new leader. None if `attempt` belongs to an earlier batch.
    pub fn is_doubted(&self, attempt: Attempt) -> Option<bool> {
        let is_last = attempt.number == self.attempts;
        (attempt.batch == self.id).then_some(attempt.doubted || !is_last)
    }

    /// Fails all calls that wait for the batch.
    pub fn fail(&self, error: impl Fn() -> ProduceError) {
        self.records.iter().for_each(|queued| queued.failed(&error));
    }

    /// The start of the oldest call that still waits for one of the records.
    pub fn oldest(&self) -> Option<Duration> {
        let waiting = self.records.iter().filter(|queued| !queued.is_settled());
        waiting.map(|queued| queued.ticket.entered).min()
    }

    /// Whether records of this ticket may have been written with the batch.
    pub fn may_have_written(&self, ticket: u64) -> bool {
        self.in_doubt && self.records.iter().any(|queued| queued.ticket.id == ticket)
    }
}
