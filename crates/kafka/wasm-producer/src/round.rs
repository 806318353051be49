//! One request to a broker with all queued records, and the evaluation of its response.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::fault::Fault;
use crate::network::Stream;
use crate::partition::Attempt;
use crate::sequence::ProducerId;
use crate::settle::about;
use crate::state::State;
use crate::verdict::{Verdict, verdict};
use crate::{Config, ConnectError, ProduceError};

/// The acknowledgement of all in-sync replicas is required.
const ACKS_ALL: i16 = -1;

/// Minimum time to wait for a response, unless the settings have less.
const LIMIT_MIN: Duration = Duration::from_secs(1);

/// A request that was built.
pub struct Round {
    pub request: ProduceRequest,
    /// The partitions of which it contains a batch.
    pub sent: Vec<(usize, Attempt)>,
    /// Maximum time to wait for the response.
    pub limit: Duration,
}

impl<W, S: Stream> State<W, S> {
    /// Builds the request with everything that waits for a broker; None if nothing does. From now
    /// on its batches may have been written.
    pub fn begin(
        &mut self,
        broker: i32,
        producer: ProducerId,
        now: Duration,
        config: &Config,
    ) -> Option<Round> {
        self.expire(now, config);
        // If a partition has used up its sequence numbers, the next round gets a new producer id.
        if self.producer != Some(producer) {
            return None;
        }
        let (mut sent, mut bytes, mut oldest) = (Vec::new(), 0, now);
        let mut topics: BTreeMap<Rc<str>, Vec<PartitionProduceData>> = BTreeMap::new();
        let order = self.busy.range(self.turn..).chain(self.busy.range(..self.turn));
        for place in order {
            let Some(partition) = self.cluster.partitions.get_mut(*place) else { continue };
            if partition.leader != Some(broker) {
                continue;
            }
            if bytes >= config.request_bytes_max {
                // The request is full; the next one begins with this partition.
                self.turn = *place;
                break;
            }
            let (topic, number) = (partition.topic.clone(), partition.number);
            let Some(batch) = partition.seal(producer, config) else { continue };
            oldest = oldest.min(batch.oldest().unwrap_or(now));
            bytes += batch.bytes.len();
            sent.push((*place, batch.attempt()));
            let data = PartitionProduceData::default()
                .with_index(number)
                .with_records(Some(batch.bytes.clone()));
            topics.entry(topic).or_default().push(data);
        }
        let left = (oldest + config.delivery_timeout).saturating_sub(now);
        // The wait is not shortened below LIMIT_MIN for a record whose time is almost over, because
        // an unanswered request breaks the connection.
        let limit = left.clamp(LIMIT_MIN.min(config.request_timeout), config.request_timeout);
        // The broker reports slow replicas before the wait for its response is over.
        let replicas = limit / 2;
        (!sent.is_empty()).then(|| Round { request: request(topics, replicas), sent, limit })
    }

    /// Fails all records that have waited for too long, in the partitions of all brokers.
    fn expire(&mut self, now: Duration, config: &Config) {
        let Some(entered) = now.checked_sub(config.delivery_timeout) else { return };
        for place in &self.busy {
            let Some(partition) = self.cluster.partitions.get_mut(*place) else { continue };
            let fault = partition.fault.clone().unwrap_or_else(Fault::silence);
            let error = fault.error(|reason| about(partition, config, reason));
            partition.expire(entered, || error.clone());
            if partition.is_overdue(entered) && !partition.abandon() {
                self.producer = None;
            }
        }
        let partitions = &self.cluster.partitions;
        self.busy.retain(|place| partitions.get(*place).is_some_and(|p| !p.is_idle()));
    }

    /// Evaluates the response to a request.
    pub fn settle(&mut self, round: &Round, answer: ProduceResponse, config: &Config) {
        self.reach.answered();
        let answers: BTreeMap<(String, i32), PartitionProduceResponse> = answer
            .responses
            .into_iter()
            .flat_map(|topic| {
                let name = topic.name.to_string();
                topic.partition_responses.into_iter().map(move |p| ((name.clone(), p.index), p))
            })
            .collect();
        for (place, attempt) in &round.sent {
            let Some(partition) = self.cluster.partitions.get_mut(*place) else { continue };
            let answer = answers.get(&(partition.topic.to_string(), partition.number));
            // A partition that the response leaves out is treated like a lost response.
            let answer = answer.cloned().unwrap_or_else(|| {
                PartitionProduceResponse::default().with_error_code(Code::NetworkException.code())
            });
            if verdict(answer.error_code) == Verdict::Written {
                self.reach.written();
            } else {
                self.reach.fault();
            }
            if !partition.settle(*attempt, &answer, config) {
                self.producer = None;
            }
            if partition.is_idle() {
                self.busy.remove(place);
            }
        }
    }

    /// The broker cannot be reached, or its connection broke. The leaders of its partitions are
    /// requested again.
    pub fn lost(&mut self, broker: i32, error: &ConnectError, config: &Config) {
        self.reach.fault();
        for place in &self.busy {
            let Some(partition) = self.cluster.partitions.get_mut(*place) else { continue };
            if partition.leader != Some(broker) {
                continue;
            }
            if let ConnectError::Refused(reason) = error {
                let text = about(partition, config, reason);
                let refused = || ProduceError::Refused(text.clone());
                partition.fail(refused, || ProduceError::Unavailable(text.clone()));
            }
            partition.fault = Some(Fault::lost(error));
            partition.follow(None);
        }
    }
}

fn request(
    topics: BTreeMap<Rc<str>, Vec<PartitionProduceData>>,
    replicas: Duration,
) -> ProduceRequest {
    let topics = topics.into_iter().map(|(name, partitions)| {
        TopicProduceData::default()
            .with_name(TopicName(StrBytes::from_string(name.to_string())))
            .with_partition_data(partitions)
    });
    ProduceRequest::default()
        .with_acks(ACKS_ALL)
        .with_timeout_ms(i32::try_from(replicas.as_millis()).unwrap_or(i32::MAX))
        .with_topic_data(topics.collect())
}
