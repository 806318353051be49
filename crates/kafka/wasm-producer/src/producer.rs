//! Writes records and waits for the acknowledgement of the broker.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use futures::future::join_all;

use crate::cluster::TOPICS_MAX;
use crate::encode::BATCH_OVERHEAD;
use crate::network::Network;
use crate::record::bytes_max;
use crate::state::{QueueSize, State, Step};
use crate::ticket::Shared;
use crate::topic::Topic;
use crate::{Config, Delivery, Error, OutgoingRecord, ProduceError};

/// An idempotent producer with acks=all.
///
/// It has no background task. The work is done by the calls of [`Producer::send`] that are in
/// progress.
pub struct Producer<N: Network> {
    pub(crate) network: N,
    pub(crate) config: Config,
    pub(crate) state: RefCell<State<N::Wake, N::Stream>>,
}

impl<N: Network> Producer<N> {
    /// Fails if a setting is not valid. Unreachable brokers are reported by [`Producer::send`].
    pub fn new(config: Config, network: N) -> Result<Self, Error> {
        let state = RefCell::new(State::new(config.addresses()?));
        Ok(Self { network, config, state })
    }

    /// Writes the records like [`Producer::send_each`]. Fails if one of them fails; others may have
    /// been written.
    pub async fn send(&self, records: Vec<OutgoingRecord>) -> Result<Vec<Delivery>, ProduceError> {
        self.send_each(records).await.into_iter().collect()
    }

    /// Writes the records and waits until the broker has acknowledged each of them or it has
    /// failed. Returns one result for each record, in the order of the records. A record may be
    /// written although one before it failed. Records of one call that are written to the same
    /// partition keep their order.
    ///
    /// Returns within the delivery timeout or shortly after, and sooner while no broker can be
    /// reached. Records for which the queue has no room fail at once. If the future is dropped,
    /// records that were not sent are removed.
    pub async fn send_each(
        &self,
        records: Vec<OutgoingRecord>,
    ) -> Vec<Result<Delivery, ProduceError>> {
        let entered = self.network.now();
        let mut call = Call::default();
        for (index, record) in records.into_iter().enumerate() {
            match self.check(&record) {
                Ok(()) => call.pending.push((index, record)),
                Err(error) => call.results.push((index, Err(error))),
            }
        }
        let (mut call, _reservation) = self.reserve(call);
        while let Some(topic) = call.next_topic() {
            if let Err(error) = self.await_partitions(&topic, entered).await {
                call = call.fail(|record| (record.topic == topic).then(|| error.clone()));
            }
        }
        let tickets = self.enqueue(&mut call, entered);
        let acknowledged = join_all(tickets.iter().map(|waiting| self.acknowledged(waiting))).await;
        for (waiting, results) in tickets.iter().zip(acknowledged) {
            call.results.extend(waiting.indexes.iter().copied().zip(results));
        }
        call.into_results()
    }

    /// Checks what can be checked without the broker.
    fn check(&self, record: &OutgoingRecord) -> Result<(), ProduceError> {
        record.validate()?;
        let bytes = bytes_max(record);
        let limit = self.config.request_bytes_max.saturating_sub(BATCH_OVERHEAD);
        let limit = limit.min(self.config.queue_bytes_max);
        if bytes > limit {
            return Err(ProduceError::TooLarge(format!(
                "topic `{}`: a record of {bytes} bytes; at most {limit} are sent at once",
                record.topic
            )));
        }
        Ok(())
    }

    /// Reserves room for the records in the queue. Those that do not fit fail.
    fn reserve(&self, call: Call) -> (Call, Reservation<'_, N>) {
        let all = &mut self.state.borrow_mut().queued;
        let mut size = QueueSize::default();
        let call = call.fail(|record| {
            let (records, bytes) = (size.records + 1, size.bytes + bytes_max(record));
            if all.records + records > self.config.queue_records_max
                || all.bytes + bytes > self.config.queue_bytes_max
            {
                return Some(ProduceError::QueueFull);
            }
            size = QueueSize { records, bytes };
            None
        });
        (all.records, all.bytes) = (all.records + size.records, all.bytes + size.bytes);
        (call, Reservation { producer: self, size })
    }

    /// Waits until the topic's partitions are known.
    async fn await_partitions(&self, topic: &str, entered: Duration) -> Result<(), ProduceError> {
        let now = self.network.now();
        let known = self.state.borrow().cluster.topics.get(topic).and_then(|topic| {
            (!topic.partitions.is_empty()).then_some(topic.refreshed + self.config.metadata_max_age)
        });
        match known {
            Some(until) if now < until => return Ok(()),
            // The metadata is old but usable, so a failed request is not an error.
            Some(_) => {
                if now.saturating_sub(entered) < self.config.delivery_timeout {
                    self.request_metadata().await;
                }
                return Ok(());
            }
            None => {}
        }
        let _wait = TopicWait::new(self, topic)?;
        loop {
            // Before the first request, too: the time may have passed with another topic.
            if let Some(result) = self.wait_result(topic, entered) {
                return result;
            }
            self.request_metadata().await;
        }
    }

    /// The result of the wait for a topic's partitions; None if it continues.
    fn wait_result(&self, topic: &str, entered: Duration) -> Option<Result<(), ProduceError>> {
        let (state, now) = (self.state.borrow(), self.network.now());
        let found = state.cluster.topics.get(topic);
        if found.is_some_and(|topic| !topic.partitions.is_empty()) {
            return Some(Ok(()));
        }
        state.wait_error(topic, None, entered, now, &self.config).map(Err)
    }

    /// Queues the records, with one ticket for each partition.
    fn enqueue(&self, call: &mut Call, entered: Duration) -> Vec<PartitionWait<'_, N>> {
        let mut state = self.state.borrow_mut();
        let mut partitions: BTreeMap<usize, (Vec<usize>, Vec<OutgoingRecord>)> = BTreeMap::new();
        for (index, record) in call.pending.drain(..) {
            match state.cluster.choose(&record, entered, || self.network.random()) {
                Ok(partition) => {
                    let (indexes, records) = partitions.entry(partition).or_default();
                    indexes.push(index);
                    records.push(record);
                }
                Err(error) => call.results.push((index, Err(error))),
            }
        }
        let timestamp_ms = self.network.unix_ms();
        let tickets = partitions.into_iter().map(|(partition, (indexes, records))| {
            let ticket = state.enqueue(partition, records, entered, timestamp_ms);
            PartitionWait { producer: self, ticket, indexes }
        });
        tickets.collect()
    }

    /// Waits for a ticket's records, and sends them if no other call does.
    async fn acknowledged(
        &self,
        waiting: &PartitionWait<'_, N>,
    ) -> Vec<Result<Delivery, ProduceError>> {
        let ticket = &waiting.ticket;
        loop {
            if let Some(results) = ticket.results() {
                // This call may have been chosen as the sender, but it may continue to wait for
                // other partitions.
                self.state.borrow_mut().stop_sending(ticket.id, None);
                return results;
            }
            let step = self.state.borrow_mut().next_step(ticket);
            match step {
                Step::Send(broker) => self.send_queued(broker).await,
                Step::RequestMetadata => match self.wait_error(ticket) {
                    Some(error) => ticket.fail_all(&error),
                    None => self.request_metadata().await,
                },
                Step::Wait => {
                    let (wake, wait) = self.network.wake_up();
                    ticket.wait(wake);
                    wait.await;
                }
            }
        }
    }

    /// The error of a ticket that has waited long enough for its partition to have a leader.
    fn wait_error(&self, ticket: &Shared<N::Wake>) -> Option<ProduceError> {
        let state = self.state.borrow();
        let partition = state.cluster.partitions.get(ticket.partition)?;
        let (now, topic, fault) = (self.network.now(), &partition.topic, partition.fault.as_ref());
        let error = state.wait_error(topic, fault, ticket.entered, now, &self.config)?;
        let batch = partition.batch.as_ref();
        Some(match error {
            ProduceError::Refused(text)
                if batch.is_some_and(|batch| batch.may_have_written(ticket.id)) =>
            {
                ProduceError::Unavailable(text)
            }
            error => error,
        })
    }
}

/// The records of a call, with their indexes.
#[derive(Default)]
struct Call {
    /// The records that are not queued yet.
    pending: Vec<(usize, OutgoingRecord)>,
    results: Vec<(usize, Result<Delivery, ProduceError>)>,
    /// The topics that [`Call::next_topic`] returned.
    topics: HashSet<String>,
}

impl Call {
    /// A topic of the pending records that was not returned before.
    fn next_topic(&mut self) -> Option<String> {
        let mut topics = self.pending.iter().map(|(_, record)| &record.topic);
        let topic = topics.find(|topic| !self.topics.contains(*topic))?.clone();
        self.topics.insert(topic.clone());
        Some(topic)
    }

    /// Fails the pending records for which there is an error.
    fn fail(mut self, mut error: impl FnMut(&OutgoingRecord) -> Option<ProduceError>) -> Self {
        for (index, record) in std::mem::take(&mut self.pending) {
            match error(&record) {
                Some(error) => self.results.push((index, Err(error))),
                None => self.pending.push((index, record)),
            }
        }
        self
    }

    /// The results in the order of the records.
    fn into_results(mut self) -> Vec<Result<Delivery, ProduceError>> {
        self.results.sort_unstable_by_key(|(index, _)| *index);
        self.results.into_iter().map(|(_, result)| result).collect()
    }
}

/// The room in the queue that a call's records take. It is released on drop.
struct Reservation<'a, N: Network> {
    producer: &'a Producer<N>,
    size: QueueSize,
}

impl<N: Network> Drop for Reservation<'_, N> {
    fn drop(&mut self) {
        let all = &mut self.producer.state.borrow_mut().queued;
        all.records = all.records.saturating_sub(self.size.records);
        all.bytes = all.bytes.saturating_sub(self.size.bytes);
    }
}

/// A call that waits for one partition.
struct PartitionWait<'a, N: Network> {
    producer: &'a Producer<N>,
    ticket: Shared<N::Wake>,
    /// The indexes of the records in the call, in the order of the ticket's records.
    indexes: Vec<usize>,
}

impl<N: Network> Drop for PartitionWait<'_, N> {
    fn drop(&mut self) {
        self.producer.state.borrow_mut().close(&self.ticket);
    }
}

/// A call that waits for a topic's metadata. Topics that no call needs and that do not exist are
/// removed.
struct TopicWait<'a, N: Network> {
    producer: &'a Producer<N>,
    topic: &'a str,
}

impl<'a, N: Network> TopicWait<'a, N> {
    fn new(producer: &'a Producer<N>, topic: &'a str) -> Result<Self, ProduceError> {
        let topics = &mut producer.state.borrow_mut().cluster.topics;
        if topics.len() >= TOPICS_MAX && !topics.contains_key(topic) {
            let text = format!(
                "topic `{topic}`: the producer already has the maximum of {TOPICS_MAX} topics"
            );
            return Err(ProduceError::Other(text));
        }
        topics.entry(topic.into()).or_insert_with(|| Topic::new(topic)).waiting_calls += 1;
        Ok(Self { producer, topic })
    }
}

impl<N: Network> Drop for TopicWait<'_, N> {
    fn drop(&mut self) {
        let topics = &mut self.producer.state.borrow_mut().cluster.topics;
        let Some(topic) = topics.get_mut(self.topic) else { return };
        topic.waiting_calls = topic.waiting_calls.saturating_sub(1);
        if topic.waiting_calls == 0 && topic.partitions.is_empty() {
            topics.remove(self.topic);
        }
    }
}
