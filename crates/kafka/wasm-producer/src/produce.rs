//! Builds produce requests with all queued records of a broker, and applies the responses.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use kafka_protocol::error::ResponseError as Code;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{ProduceRequest, ProduceResponse, TopicName};
use kafka_protocol::protocol::StrBytes;

use crate::batch_result::describe;
use crate::fault::Fault;
use crate::network::Stream;
use crate::outcome::Outcome;
use crate::partition::Attempt;
use crate::sequence::ProducerId;
use crate::state::State;
use crate::{Config, ConnectError, ProduceError};

/// The acknowledgement of all in-sync replicas is required.
const ACKS_ALL: i16 = -1;

/// Minimum time to wait for a response, unless the settings have less.
const RESPONSE_LIMIT_MIN: Duration = Duration::from_secs(1);

/// A produce request that was built.
pub struct BatchRequest {
    pub request: ProduceRequest,
    /// The partitions for which it contains a batch.
    pub sent: Vec<(usize, Attempt)>,
    /// Maximum time to wait for the response.
    pub limit: Duration,
}

impl<W, S: Stream> State<W, S> {
    /// Builds the request with everything that waits for a broker; None if nothing does. From now
    /// on its batches may have been written.
    pub fn build_request(
        &mut self,
        broker: i32,
        producer: ProducerId,
        now: Duration,
        config: &Config,
    ) -> Option<BatchRequest> {
        self.expire(now, config);
        // If a partition has used up its sequence numbers, the next request gets a new producer id.
        if self.producer != Some(producer) {
            return None;
        }
        let (mut sent, mut bytes, mut oldest) = (Vec::new(), 0, now);
        let mut topics: BTreeMap<Rc<str>, Vec<PartitionProduceData>> = BTreeMap::new();
        let order =
            self.busy.range(self.next_partition..).chain(self.busy.range(..self.next_partition));
        for index in order {
            let Some(partition) = self.cluster.partitions.get_mut(*index) else { continue };
            if partition.leader != Some(broker) {
                continue;
            }
            if bytes >= config.request_bytes_max {
                // The request is full; the next one begins with this partition.
                self.next_partition = *index;
                break;
            }
            let (topic, number) = (partition.topic.clone(), partition.number);
            let Some(batch) = partition.batch_to_send(producer, config) else { continue };
            oldest = oldest.min(batch.oldest().unwrap_or(now));
            bytes += batch.bytes.len();
            sent.push((*index, batch.attempt()));
            let data = PartitionProduceData::default()
                .with_index(number)
                .with_records(Some(batch.bytes.clone()));
            topics.entry(topic).or_default().push(data);
        }
        let left = (oldest + config.delivery_timeout).saturating_sub(now);
        // A record whose time is almost over does not shorten the wait below RESPONSE_LIMIT_MIN,
        // because the connection is closed after a request without a response.
        let limit =
            left.clamp(RESPONSE_LIMIT_MIN.min(config.request_timeout), config.request_timeout);
        // The broker reports slow replicas before the wait for its response is over.
        let replicas = limit / 2;
        (!sent.is_empty()).then(|| BatchRequest { request: request(topics, replicas), sent, limit })
    }

    /// Fails all records that have waited for too long, in the partitions of all brokers.
    fn expire(&mut self, now: Duration, config: &Config) {
        let Some(entered) = now.checked_sub(config.delivery_timeout) else { return };
        for index in &self.busy {
            let Some(partition) = self.cluster.partitions.get_mut(*index) else { continue };
            let fault = partition.fault.clone().unwrap_or_else(Fault::timeout);
            let error = fault.error(|reason| describe(partition, config, reason));
            partition.expire(entered, || error.clone());
            if partition.is_overdue(entered) && !partition.drop_batch() {
                self.producer = None;
            }
        }
        let partitions = &self.cluster.partitions;
        self.busy.retain(|index| partitions.get(*index).is_some_and(|p| !p.is_idle()));
    }

    /// Applies the response to a request.
    pub fn apply_response(
        &mut self,
        request: &BatchRequest,
        response: ProduceResponse,
        config: &Config,
    ) {
        self.reachability.answered();
        let results: BTreeMap<(String, i32), PartitionProduceResponse> = response
            .responses
            .into_iter()
            .flat_map(|topic| {
                let name = topic.name.to_string();
                topic.partition_responses.into_iter().map(move |p| ((name.clone(), p.index), p))
            })
            .collect();
        for (index, attempt) in &request.sent {
            let Some(partition) = self.cluster.partitions.get_mut(*index) else { continue };
            let result = results.get(&(partition.topic.to_string(), partition.number));
            // A partition that the response leaves out is treated like a lost response.
            let result = result.cloned().unwrap_or_else(|| {
                PartitionProduceResponse::default().with_error_code(Code::NetworkException.code())
            });
            if Outcome::from_code(result.error_code) == Outcome::Written {
                self.reachability.written();
            } else {
                self.reachability.count_failure();
            }
            if !partition.apply_result(*attempt, &result, config) {
                self.producer = None;
            }
            if partition.is_idle() {
                self.busy.remove(index);
            }
        }
    }

    /// The broker cannot be reached, or its connection broke. The leaders of its partitions are
    /// requested again.
    pub fn broker_failed(&mut self, broker: i32, error: &ConnectError, config: &Config) {
        self.reachability.count_failure();
        for index in &self.busy {
            let Some(partition) = self.cluster.partitions.get_mut(*index) else { continue };
            if partition.leader != Some(broker) {
                continue;
            }
            if let ConnectError::Refused(reason) = error {
                let text = describe(partition, config, reason);
                let refused = || ProduceError::Refused(text.clone());
                partition.fail(refused, || ProduceError::Unavailable(text.clone()));
            }
            partition.fault = Some(Fault::unreachable(error));
            partition.set_leader(None);
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
