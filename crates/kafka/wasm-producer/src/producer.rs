//! Writes records and waits for the acknowledgement of the broker.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::try_join_all;

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

    /// Writes the records and waits until the broker has acknowledged all of them. Returns the
    /// deliveries in the order of the records. Records of one call with the same key keep their
    /// order. If a call with several records fails, some of them may have been written.
    ///
    /// Returns within the delivery timeout or shortly after, sooner while no broker can be reached,
    /// and at once if the queue is full. If the future is dropped, records that were not sent are
    /// removed.
    pub async fn send(&self, records: Vec<OutgoingRecord>) -> Result<Vec<Delivery>, ProduceError> {
        let entered = self.network.now();
        let _reservation = self.reserve(&records)?;
        for record in &records {
            self.await_partitions(&record.topic, entered).await?;
        }
        let tickets = self.enqueue(records, entered)?;
        if let [ticket] = tickets.as_slice() {
            return self.acknowledged(ticket).await;
        }
        let results = try_join_all(tickets.iter().map(|ticket| self.acknowledged(ticket))).await?;
        let indexes = tickets.iter().flat_map(|waiting| &waiting.indexes).copied();
        let mut deliveries: Vec<_> = indexes.zip(results.into_iter().flatten()).collect();
        deliveries.sort_unstable_by_key(|(index, _)| *index);
        Ok(deliveries.into_iter().map(|(_, delivery)| delivery).collect())
    }

    /// Checks the records and reserves room for them in the queue.
    fn reserve(&self, records: &[OutgoingRecord]) -> Result<Reservation<'_, N>, ProduceError> {
        let mut size = QueueSize { records: records.len(), bytes: 0 };
        for record in records {
            let (topic, bytes) = (&record.topic, bytes_max(record));
            if !kafka_record::is_topic_name(topic) {
                return Err(ProduceError::Refused(format!("`{topic}` is not a valid topic name")));
            }
            if bytes + BATCH_OVERHEAD > self.config.request_bytes_max {
                return Err(ProduceError::TooLarge(format!(
                    "topic `{topic}`: a record of {bytes} bytes; at most {} are sent at once",
                    self.config.request_bytes_max
                )));
            }
            size.bytes += bytes;
        }
        let (records_max, bytes_max) = (self.config.queue_records_max, self.config.queue_bytes_max);
        if size.records > records_max || size.bytes > bytes_max {
            return Err(ProduceError::TooLarge(format!(
                "{} records of {} bytes at once; at most {records_max} and {bytes_max}",
                size.records, size.bytes
            )));
        }
        let all = &mut self.state.borrow_mut().queued;
        let sum = QueueSize { records: all.records + size.records, bytes: all.bytes + size.bytes };
        if sum.records > records_max || sum.bytes > bytes_max {
            return Err(ProduceError::QueueFull);
        }
        *all = sum;
        Ok(Reservation { producer: self, size })
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
                self.request_metadata().await;
                return Ok(());
            }
            None => {}
        }
        let _wait = TopicWait::new(self, topic)?;
        loop {
            self.request_metadata().await;
            let (state, now) = (self.state.borrow(), self.network.now());
            let found = state.cluster.topics.get(topic);
            if found.is_some_and(|topic| !topic.partitions.is_empty()) {
                return Ok(());
            }
            if let Some(error) = state.wait_error(topic, None, entered, now, &self.config) {
                return Err(error);
            }
        }
    }

    /// Queues the records, with one ticket for each partition.
    fn enqueue(
        &self,
        records: Vec<OutgoingRecord>,
        entered: Duration,
    ) -> Result<Vec<PartitionWait<'_, N>>, ProduceError> {
        let mut state = self.state.borrow_mut();
        let mut partitions: BTreeMap<usize, (Vec<usize>, Vec<OutgoingRecord>)> = BTreeMap::new();
        for (index, record) in (0..).zip(records) {
            let random = || self.network.random();
            let (topic, key) = (&record.topic, record.key.as_deref());
            let partition = state
                .cluster
                .choose(topic, key, entered, random)
                .ok_or_else(|| ProduceError::Other(format!("topic `{topic}` has no partition")))?;
            let (indexes, records) = partitions.entry(partition).or_default();
            indexes.push(index);
            records.push(record);
        }
        let timestamp_ms = self.network.unix_ms();
        let tickets = partitions.into_iter().map(|(partition, (indexes, records))| {
            let ticket = state.enqueue(partition, records, entered, timestamp_ms);
            PartitionWait { producer: self, ticket, indexes }
        });
        Ok(tickets.collect())
    }

    /// Waits for a ticket's records, and sends them if no other call does.
    async fn acknowledged(
        &self,
        waiting: &PartitionWait<'_, N>,
    ) -> Result<Vec<Delivery>, ProduceError> {
        let ticket = &waiting.ticket;
        loop {
            if let Some(result) = ticket.result() {
                // This call may have been chosen as the sender, but it may continue to wait for
                // other partitions.
                self.state.borrow_mut().stop_sending(ticket.id, None);
                return result;
            }
            let step = self.state.borrow_mut().next_step(ticket);
            match step {
                Step::Send(broker) => self.send_queued(broker).await,
                Step::RequestMetadata => {
                    self.check_wait(ticket)?;
                    self.request_metadata().await;
                }
                Step::Wait => {
                    let (wake, wait) = self.network.wake_up();
                    ticket.wait(wake);
                    wait.await;
                }
            }
        }
    }

    /// Fails if the ticket has waited long enough for its partition to have a leader.
    fn check_wait(&self, ticket: &Shared<N::Wake>) -> Result<(), ProduceError> {
        let state = self.state.borrow();
        let Some(partition) = state.cluster.partitions.get(ticket.partition) else { return Ok(()) };
        let (now, topic, fault) = (self.network.now(), &partition.topic, partition.fault.as_ref());
        let Some(error) = state.wait_error(topic, fault, ticket.entered, now, &self.config) else {
            return Ok(());
        };
        let batch = partition.batch.as_ref();
        Err(match error {
            ProduceError::Refused(text)
                if batch.is_some_and(|batch| batch.may_have_written(ticket.id)) =>
            {
                ProduceError::Unavailable(text)
            }
            error => error,
        })
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
    /// The indexes of the records in the call.
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
