//! The state that the calls in progress share.
//!
//! There is no background task: the calls do the work. For each broker one of the waiting calls
//! leads: it sends the queued records of all calls in one request and passes the results to them.
//! Then another call leads. If the leading call ends, with its result or by cancellation, another
//! one takes over.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::OutgoingRecord;
use crate::cluster::Cluster;
use crate::connection::Connection;
use crate::fault::Fault;
use crate::network::Stream;
use crate::partition::Queued;
use crate::reach::Reach;
use crate::sequence::ProducerId;
use crate::ticket::{Shared, Ticket};
use crate::{Address, Config, ProduceError};

/// The state of one broker.
pub struct Lane<S> {
    /// The ticket whose call leads or was chosen to lead.
    pub leader: Option<u64>,
    /// The connection, while no request is in flight on it.
    pub connection: Option<Connection<S>>,
}

/// The shared state. `W` wakes a call, `S` is the stream of a connection.
pub struct State<W, S> {
    pub cluster: Cluster<W>,
    pub lanes: BTreeMap<i32, Lane<S>>,
    /// Partitions with waiting records.
    pub busy: BTreeSet<usize>,
    /// The partition that comes first if not all fit into a request.
    pub turn: usize,
    pub reach: Reach,
    pub producer: Option<ProducerId>,
    /// Whether a call is requesting metadata.
    pub asking: bool,
    /// Wakes the calls that wait for the metadata.
    pub curious: Vec<W>,
    /// Number and size of the records of all calls.
    pub held: Held,
    tickets: u64,
}

/// Number and size of the records of the calls in progress.
#[derive(Debug, Clone, Copy, Default)]
pub struct Held {
    pub records: usize,
    pub bytes: usize,
}

/// What a call does next.
pub enum Step {
    /// Send the queued records of this broker.
    Lead(i32),
    /// Request metadata, or wait until another call has done so.
    Ask,
    /// Wait until the call is woken.
    Wait,
}

impl<W, S: Stream> State<W, S> {
    pub fn new(bootstrap: Vec<Address>) -> Self {
        Self {
            cluster: Cluster::new(bootstrap),
            lanes: BTreeMap::new(),
            busy: BTreeSet::new(),
            turn: 0,
            reach: Reach::default(),
            producer: None,
            asking: false,
            curious: Vec::new(),
            held: Held::default(),
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
        if let Some(place) = self.cluster.partitions.get_mut(partition) {
            let queued = (0..).zip(records).map(|(place, record)| Queued {
                record,
                timestamp_ms,
                ticket: ticket.clone(),
                place,
            });
            place.queue.extend(queued);
            self.busy.insert(partition);
        }
        ticket
    }

    /// What a call without a result does next.
    pub fn step(&mut self, ticket: &Ticket<W>) -> Step {
        let partition = self.cluster.partitions.get(ticket.partition);
        let broker = partition.and_then(|partition| partition.leader);
        self.resign(ticket.id, broker);
        let Some(broker) = broker else { return Step::Ask };
        let lane = self.lane(broker);
        match lane.leader {
            Some(leader) if leader != ticket.id => Step::Wait,
            _ => {
                lane.leader = Some(ticket.id);
                Step::Lead(broker)
            }
        }
    }

    pub fn lane(&mut self, broker: i32) -> &mut Lane<S> {
        self.lanes.entry(broker).or_insert(Lane { leader: None, connection: None })
    }

    /// Gives up leading on behalf of this ticket, except for one broker, and lets other calls lead.
    pub fn resign(&mut self, ticket: u64, but: Option<i32>) {
        let led = |(broker, lane): (&i32, &Lane<S>)| {
            (lane.leader == Some(ticket) && but != Some(*broker)).then_some(*broker)
        };
        let led: Vec<i32> = self.lanes.iter().filter_map(led).collect();
        led.into_iter().for_each(|broker| self.pass_on(broker));
    }

    /// Lets the call lead that has waited longest for this broker.
    pub fn pass_on(&mut self, broker: i32) {
        let partitions = &self.cluster.partitions;
        let waiting = self.busy.iter().filter_map(|place| partitions.get(*place));
        let next = waiting
            .filter(|partition| partition.leader == Some(broker))
            .flat_map(|partition| partition.tickets())
            .find(|ticket| ticket.wake())
            .map(|ticket| ticket.id);
        self.lane(broker).leader = next;
    }

    /// The call has its result, or was cancelled.
    pub fn leave(&mut self, ticket: &Ticket<W>) {
        ticket.leave();
        if let Some(partition) = self.cluster.partitions.get_mut(ticket.partition) {
            partition.forget(ticket.id);
            if partition.is_idle() {
                self.busy.remove(&ticket.partition);
            }
        }
        self.resign(ticket.id, None);
    }

    /// Closes connections that were idle for too long.
    pub fn close_idle(&mut self, now: Duration, idle: Duration) {
        for lane in self.lanes.values_mut() {
            lane.connection.take_if(|connection| !connection.is_fresh(now, idle));
        }
    }

    /// Takes the idle connection to an address.
    pub fn take(&mut self, address: &Address) -> Option<Connection<S>> {
        let mut resting = self.lanes.values_mut().map(|lane| &mut lane.connection);
        resting.find_map(|resting| resting.take_if(|connection| connection.address == *address))
    }

    /// Stores a connection as that of its broker, unless that has one.
    pub fn keep(&mut self, connection: Connection<S>) {
        let mut brokers = self.cluster.brokers.iter();
        let broker = brokers.find(|(_, address)| **address == connection.address);
        if let Some(broker) = broker.map(|(broker, _)| *broker) {
            self.lane(broker).connection.get_or_insert(connection);
        }
    }

    /// The error for a call that began at `entered` and has waited long enough for a topic's
    /// partitions, or, after `fault`, for the leader of one; None if it continues to wait.
    pub fn hopeless(
        &self,
        topic: &str,
        fault: Option<&Fault>,
        entered: Duration,
        now: Duration,
        config: &Config,
    ) -> Option<ProduceError> {
        let text = |reason: &str| format!("topic `{topic}` at {}: {reason}", config.brokers);
        if let Some(reason) = self.reach.refused(entered) {
            return Some(ProduceError::Refused(text(reason)));
        }
        let told = self.cluster.topics.get(topic).and_then(|topic| topic.fault);
        let told = told.filter(|told| told.said >= entered);
        let told_no = told.filter(|told| told.is_final(entered, now, config.missing_timeout));
        if let Some(told) = told_no {
            return Some(ProduceError::Refused(text(&told.reason())));
        }
        if self.reach.given_up(entered, config.unreachable_timeout, now) {
            let reason = format!("no broker can be reached: {}", self.reach.said());
            return Some(ProduceError::Unavailable(text(&reason)));
        }
        if now.saturating_sub(entered) < config.delivery_timeout {
            return None;
        }
        if self.reach.is_lost {
            return Some(ProduceError::Unavailable(text(self.reach.said())));
        }
        let told = told.map(|told| Fault::answer(told.code));
        let fault = fault.cloned().or(told).unwrap_or_else(Fault::silence);
        Some(fault.error(text))
    }
}
