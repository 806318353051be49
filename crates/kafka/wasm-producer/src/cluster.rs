//! The brokers and topics of the cluster, according to the latest metadata.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::{
    MetadataResponsePartition, MetadataResponseTopic,
};
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::partition::Partition;
use crate::topic::Topic;
use crate::{Address, OutgoingRecord, ProduceError};

/// Maximum number of topics that one producer writes to. Topics are never removed, because the
/// sequence numbers of their partitions must not start again.
pub const TOPICS_MAX: usize = 1_000;

/// Time for which records without a key go to the same partition, so that they share batches.
const STICKY: Duration = Duration::from_millis(100);

/// Brokers, topics and partitions.
pub struct Cluster<W> {
    bootstrap: Vec<Address>,
    pub brokers: BTreeMap<i32, Address>,
    pub topics: HashMap<Rc<str>, Topic>,
    pub partitions: Vec<Partition<W>>,
    /// The index of the address that gets the next metadata request.
    next: usize,
}

impl<W> Cluster<W> {
    pub fn new(bootstrap: Vec<Address>) -> Self {
        Self {
            bootstrap,
            brokers: BTreeMap::new(),
            topics: HashMap::new(),
            partitions: Vec::new(),
            next: 0,
        }
    }

    /// All known addresses: those of the metadata and the bootstrap brokers.
    pub fn addresses(&self) -> Vec<&Address> {
        let mut addresses: Vec<_> = self.brokers.values().chain(&self.bootstrap).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// The address for the next metadata request: each address in rotation. None if there is none.
    pub fn next_address(&mut self) -> Option<Address> {
        let addresses = self.addresses();
        let index = self.next.checked_rem(addresses.len())?;
        let address = addresses.get(index).copied().cloned();
        self.next = index + 1;
        address
    }

    /// The metadata request for every topic that was used or is needed.
    pub fn metadata_request(&self) -> MetadataRequest {
        let topics = self.topics.keys().map(|name| {
            let name = TopicName(StrBytes::from_string(name.to_string()));
            MetadataRequestTopic::default().with_name(Some(name))
        });
        MetadataRequest::default()
            .with_topics(Some(topics.collect()))
            .with_allow_auto_topic_creation(false)
    }

    /// Applies a metadata response. Wakes the calls that wait for a partition whose leader has
    /// changed.
    pub fn apply_metadata(&mut self, response: MetadataResponse, now: Duration) {
        let address = |host: StrBytes, port| {
            Some(Address { host: host.to_string(), port: u16::try_from(port).ok()? })
        };
        self.brokers = response
            .brokers
            .into_iter()
            .filter_map(|broker| Some((broker.node_id.0, address(broker.host, broker.port)?)))
            .collect();
        for topic in response.topics {
            self.apply_topic(topic, now);
        }
    }

    fn apply_topic(&mut self, response: MetadataResponseTopic, now: Duration) {
        let name = response.name.unwrap_or_default();
        let Some(topic) = self.topics.get_mut(name.as_str()) else { return };
        topic.set_error(response.error_code, now);
        if response.error_code == 0 {
            topic.refreshed = now;
        }
        let mut partitions = response.partitions;
        partitions.sort_unstable_by_key(|partition| partition.partition_index);
        let numbered = (0..).zip(partitions);
        let mut count = 0;
        for (number, metadata) in numbered.take_while(|(number, p)| *number == p.partition_index) {
            count += 1;
            let index = topic.partitions.get(number as usize).copied().unwrap_or_else(|| {
                topic.partitions.push(self.partitions.len());
                self.partitions.push(Partition::new(topic.name.clone(), number));
                self.partitions.len() - 1
            });
            let leader = leader(&metadata).filter(|leader| self.brokers.contains_key(leader));
            if let Some(partition) = self.partitions.get_mut(index) {
                partition.set_leader(leader);
            }
        }
        if count > 0 {
            topic.count = count;
            for index in topic.partitions.iter().skip(count) {
                if let Some(removed) = self.partitions.get_mut(*index) {
                    removed.set_leader(None);
                }
            }
        }
    }

    /// Whether metadata is missing that a call waits for: a topic's partitions or a partition's
    /// leader.
    pub fn is_incomplete(&self) -> bool {
        let missing = |topic: &Topic| topic.waiting_calls > 0 && topic.partitions.is_empty();
        let waits = |partition: &Partition<W>| partition.leader.is_none() && !partition.is_idle();
        self.topics.values().any(missing) || self.partitions.iter().any(waits)
    }

    /// Chooses the partition for a record of a topic whose partitions are known.
    pub fn choose(
        &mut self,
        record: &OutgoingRecord,
        now: Duration,
        random: impl FnOnce() -> u64,
    ) -> Result<usize, ProduceError> {
        let topic = &record.topic;
        if let Some(number) = record.partition {
            return self.numbered(topic, number).ok_or_else(|| {
                ProduceError::Refused(format!("topic `{topic}` has no partition {number}"))
            });
        }
        self.choose_among_all(topic, record.key.as_deref(), now, random)
            .ok_or_else(|| ProduceError::Other(format!("topic `{topic}` has no partition")))
    }

    /// The index of the partition with this number.
    fn numbered(&self, topic: &str, number: i32) -> Option<usize> {
        let topic = self.topics.get(topic)?;
        topic.partitions.get(..topic.count)?.get(usize::try_from(number).ok()?).copied()
    }

    fn choose_among_all(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        now: Duration,
        random: impl FnOnce() -> u64,
    ) -> Option<usize> {
        let topic = self.topics.get_mut(topic)?;
        let present = topic.partitions.get(..topic.count)?;
        if let Some(key) = key {
            let count = i32::try_from(topic.count).ok()?;
            let number = usize::try_from(kafka_record::partition(key, count)).ok()?;
            return present.get(number).copied();
        }
        let has_leader =
            |index: &usize| self.partitions.get(*index).is_some_and(|p| p.leader.is_some());
        if let Some((index, until)) = topic.sticky
            && now < until
            && has_leader(&index)
        {
            return Some(index);
        }
        let with_leader: Vec<usize> = present.iter().copied().filter(has_leader).collect();
        let among = if with_leader.is_empty() { present } else { &with_leader };
        let chosen = random().checked_rem(among.len() as u64)?;
        let index = among.get(usize::try_from(chosen).ok()?).copied()?;
        topic.sticky = Some((index, now + STICKY));
        Some(index)
    }
}

fn leader(partition: &MetadataResponsePartition) -> Option<i32> {
    // The broker may report a leader although a replica is missing.
    let code = Code::try_from_code(partition.error_code);
    let led = matches!(code, None | Some(Code::ReplicaNotAvailable));
    led.then_some(partition.leader_id.0).filter(|leader| *leader >= 0)
}
