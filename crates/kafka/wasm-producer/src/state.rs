//! The state that the calls in progress share.
//!
//! There is no background task: the calls do the work. For each broker one of the waiting calls is
//! the sender: it sends the queued records of all calls in one request, and passes the results to
//! them. After that, or when the sender gets its own result or is cancelled, another waiting call
//! becomes the sender.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::OutgoingRecord;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::fault::Fault;
use crate::network::Stream;
use crate::partition::Queued;
use crate::reachability::Reachability;
use crate::sequence::ProducerId;
use crate::ticket::{Shared, Ticket};
use crate::{Address, Config, ProduceError};

/// The state of one broker.
pub struct BrokerState<S> {
    /// The ticket of the call that sends to this broker or was chosen to do so.
    pub sender: Option<u64>,
    /// The connection, while no request is in flight on it.
    pub connection: Option<Connection<S>>,
}

/// The shared state. `W` wakes a call, `S` is the stream of a connection.
pub struct State<W, S> {
    pub cluster: Cluster<W>,
    pub brokers: BTreeMap<i32, BrokerState<S>>,
    /// Partitions with waiting records.
    pub busy: BTreeSet<usize>,
    /// The first partition of the next request, if not all fit into one.
    pub next_partition: usize,
    pub reachability: Reachability,
    pub producer: Option<ProducerId>,
    /// Whether a call is requesting metadata.
    pub requesting_metadata: bool,
    /// Wakes the calls that wait for the metadata.
    pub metadata_waiters: Vec<W>,
    /// Number and size of the records of all calls.
    pub queued: QueueSize,
    tickets: u64,
}

/// Number and size of the records of the calls in progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct QueueSize {
    pub records: usize,
    pub bytes: usize,
}

/// What a call does next.
pub enum Step {
    /// Send the queued records of this broker.
    Send(i32),
    /// Request metadata, or wait until another call has done so.
    RequestMetadata,
    /// Wait until the call is woken.
    Wait,
}

impl<W, S: Stream> State<W, S> {
    pub fn new(bootstrap: Vec<Address>) -> Self {
        Self {
            cluster: Cluster::new(bootstrap),
            brokers: BTreeMap::new(),
            busy: BTreeSet::new(),
            next_partition: 0,
            reachability: Reachability::default(),
            producer: None,
            requesting_metadata: false,
            metadata_waiters: Vec::new(),
            queued: QueueSize::default(),
            tickets: 0,
        }
    }

    /// Queues records of one call for one partition.
    pub fn enqueue(
        &mut self,
        partition: usize,
        records: Vec<OutgoingRecord>,
        entered: Duration,
        timestamp_ms: i64,
    ) -> Shared<W> {
        self.tickets += 1;
        let ticket = Ticket::new(self.tickets, partition, entered, records.len());
        if let Some(found) = self.cluster.partitions.get_mut(partition) {
            let queued = (0..).zip(records).map(|(index, record)| Queued {
                timestamp_ms: record.timestamp_ms.unwrap_or(timestamp_ms),
                record,
                ticket: ticket.clone(),
                index,
            });
            found.queue.extend(queued);
            self.busy.insert(partition);
        }
        ticket
    }

    /// What a call without a result does next.
    pub fn next_step(&mut self, ticket: &Ticket<W>) -> Step {
        let partition = self.cluster.partitions.get(ticket.partition);
        let broker = partition.and_then(|partition| partition.leader);
        self.stop_sending(ticket.id, broker);
        let Some(broker) = broker else { return Step::RequestMetadata };
        let state = self.broker(broker);
        match state.sender {
            Some(sender) if sender != ticket.id => Step::Wait,
            _ => {
                state.sender = Some(ticket.id);
                Step::Send(broker)
            }
        }
    }

    pub fn broker(&mut self, broker: i32) -> &mut BrokerState<S> {
        self.brokers.entry(broker).or_insert(BrokerState { sender: None, connection: None })
    }

    /// If the call of this ticket is the sender of brokers other than `except`, chooses other
    /// senders for them.
    pub fn stop_sending(&mut self, ticket: u64, except: Option<i32>) {
        let sends_to = |(broker, state): (&i32, &BrokerState<S>)| {
            (state.sender == Some(ticket) && except != Some(*broker)).then_some(*broker)
        };
        let brokers: Vec<i32> = self.brokers.iter().filter_map(sends_to).collect();
        brokers.into_iter().for_each(|broker| self.choose_sender(broker));
    }

    /// Makes the call that has waited longest for this broker its sender.
    pub fn choose_sender(&mut self, broker: i32) {
        let partitions = &self.cluster.partitions;
        let waiting = self.busy.iter().filter_map(|index| partitions.get(*index));
        let next = waiting
            .filter(|partition| partition.leader == Some(broker))
            .flat_map(|partition| partition.tickets())
            .find(|ticket| ticket.wake())
            .map(|ticket| ticket.id);
        self.broker(broker).sender = next;
    }

    /// The call has its result, or was cancelled.
    pub fn close(&mut self, ticket: &Ticket<W>) {
        ticket.close();
        if let Some(partition) = self.cluster.partitions.get_mut(ticket.partition) {
            partition.remove_unsent(ticket.id);
            if partition.is_idle() {
                self.busy.remove(&ticket.partition);
            }
        }
        self.stop_sending(ticket.id, None);
    }

    /// Closes connections that were idle for too long.
    pub fn close_idle(&mut self, now: Duration, idle: Duration) {
        for broker in self.brokers.values_mut() {
            broker.connection.take_if(|connection| !connection.is_fresh(now, idle));
        }
    }

    /// Takes the idle connection to an address.
    pub fn take_connection(&mut self, address: &Address) -> Option<Connection<S>> {
        let mut idle = self.brokers.values_mut().map(|broker| &mut broker.connection);
        idle.find_map(|idle| idle.take_if(|connection| connection.address == *address))
    }

    /// Stores a connection as that of its broker, unless that has one.
    pub fn store_connection(&mut self, connection: Connection<S>) {
        let mut brokers = self.cluster.brokers.iter();
        let broker = brokers.find(|(_, address)| **address == connection.address);
        if let Some(broker) = broker.map(|(broker, _)| *broker) {
            self.broker(broker).connection.get_or_insert(connection);
        }
    }

    /// The error for a call that began at `entered` and has waited long enough for a topic's
    /// partitions, or, after `fault`, for the leader of one; None if it continues to wait.
    pub fn wait_error(
        &self,
        topic: &str,
        fault: Option<&Fault>,
        entered: Duration,
        now: Duration,
        config: &Config,
    ) -> Option<ProduceError> {
        let text = |reason: &str| format!("topic `{topic}` at {}: {reason}", config.brokers);
        if let Some(reason) = self.reachability.refused(entered) {
            return Some(ProduceError::Refused(text(reason)));
        }
        let topic_error = self.cluster.topics.get(topic).and_then(|topic| topic.error);
        let topic_error = topic_error.filter(|error| error.last_reported >= entered);
        if let Some(error) = topic_error
            && error.is_final(entered, now, config.missing_timeout)
        {
            return Some(ProduceError::Refused(text(&error.reason())));
        }
        if self.reachability.is_unreachable(entered, config.unreachable_timeout, now) {
            let reason = format!("no broker can be reached: {}", self.reachability.last_error());
            return Some(ProduceError::Unavailable(text(&reason)));
        }
        if now.saturating_sub(entered) < config.delivery_timeout {
            return None;
        }
        if self.reachability.have_all_failed {
            return Some(ProduceError::Unavailable(text(self.reachability.last_error())));
        }
        let topic_fault = topic_error.map(|error| Fault::from_code(error.code));
        let fault = fault.cloned().or(topic_fault).unwrap_or_else(Fault::timeout);
        Some(fault.error(text))
    }
}
