//! The metrics of a process, from the samples of its operator port.

use std::collections::BTreeMap;

use metrics_text::{NotASample, Sample, lines};

use crate::latency::Latency;

/// The HTTP components: answers by status code, latency, load.
const HTTP_REQUESTS: &str = "spin_http_requests_total";
const HTTP_SECONDS_BUCKET: &str = "spin_http_request_duration_seconds_bucket";
const HTTP_ABANDONED: &str = "spin_http_abandoned_requests_total";
const HTTP_UNROUTED: &str = "spin_http_unrouted_requests_total";
const HTTP_WAITING: &str = "spin_http_requests_waiting";
const HTTP_INSTANCES: &str = "spin_http_instances";

/// The Kafka triggers.
const KAFKA_LAG: &str = "spin_kafka_lag";
const KAFKA_OLDEST: &str = "spin_kafka_oldest_record_seconds";
const KAFKA_RECORDS: &str = "spin_kafka_records_total";
const KAFKA_DEAD_LETTERS: &str = "spin_kafka_dead_letters_total";
const KAFKA_RETRIES: &str = "spin_kafka_retries_total";
const KAFKA_REJECTIONS: &str = "spin_kafka_rejections_total";
const KAFKA_INSTANCES: &str = "spin_kafka_instances";

/// The producer of the host.
const PRODUCER_DELIVERED: &str = "kafka_producer_delivered_total";
const PRODUCER_QUEUE_FULL: &str = "kafka_producer_queue_full_total";
const PRODUCER_FAILED: &str = "kafka_producer_failed_total";

/// The metrics of one process at one moment. Counters count from its start.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Metrics {
    /// The HTTP components by their id.
    pub http: BTreeMap<String, HttpMetrics>,
    /// Counter of the requests that were refused before they had a component.
    pub unrouted: f64,
    /// The partitions that the process owns.
    pub partitions: BTreeMap<PartitionKey, Partition>,
    /// The sums over all Kafka triggers.
    pub kafka: KafkaMetrics,
}

/// The metrics of an HTTP component.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HttpMetrics {
    /// Counter of the answers with a status below 400.
    pub accepted: f64,
    /// Counter of the answers with a status from 400 to 499.
    pub client_errors: f64,
    /// Counter of the answers with a status from 500 on.
    pub server_errors: f64,
    /// Counter of the requests whose caller left before the answer.
    pub abandoned: f64,
    /// Requests that wait for an instance.
    pub waiting: f64,
    /// Instances.
    pub instances: f64,
    /// The time until an answer, in seconds.
    pub latency: Latency,
}

/// A partition, and the component that its records are for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PartitionKey {
    /// The topic.
    pub topic: String,
    /// The number.
    pub partition: u32,
    /// The id of the component.
    pub component: String,
}

/// The progress of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Partition {
    /// Offsets left to apply.
    pub lag: f64,
    /// Age of the oldest record that was read and is not applied, in seconds.
    pub oldest_seconds: f64,
}

/// The sums over all Kafka triggers of a process, and the producer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct KafkaMetrics {
    /// Counter of the records that were applied.
    pub records: f64,
    /// Counter of the dead letters.
    pub dead_letters: f64,
    /// Counter of the attempts that were repeated.
    pub retries: f64,
    /// Counter of the records that a component rejected.
    pub rejections: f64,
    /// Instances of the components.
    pub instances: f64,
    /// Counter of the records that the producer wrote.
    pub written: f64,
    /// Counter of the calls of the producer that failed.
    pub unwritten: f64,
}

impl Metrics {
    /// Reads the text of an operator port. Other metrics are ignored.
    pub fn read(text: &str) -> Result<Self, NotASample> {
        let mut metrics = Self::default();
        for line in lines(text) {
            metrics.add(line.name, &line.sample()?);
        }
        Ok(metrics)
    }

    fn add(&mut self, name: &str, sample: &Sample<'_>) {
        let value = sample.value;
        match name {
            HTTP_REQUESTS => *self.answers(sample) += value,
            HTTP_SECONDS_BUCKET => {
                if let Ok(bound) = sample.label("le").parse() {
                    self.http(sample).latency.add(bound, value);
                }
            }
            HTTP_ABANDONED => self.http(sample).abandoned += value,
            HTTP_UNROUTED => self.unrouted += value,
            HTTP_WAITING => self.http(sample).waiting += value,
            HTTP_INSTANCES => self.http(sample).instances += value,
            KAFKA_LAG => self.partition(sample).lag = value,
            KAFKA_OLDEST => self.partition(sample).oldest_seconds = value,
            KAFKA_RECORDS => self.kafka.records += value,
            KAFKA_DEAD_LETTERS => self.kafka.dead_letters += value,
            KAFKA_RETRIES => self.kafka.retries += value,
            KAFKA_REJECTIONS => self.kafka.rejections += value,
            KAFKA_INSTANCES => self.kafka.instances += value,
            PRODUCER_DELIVERED => self.kafka.written += value,
            PRODUCER_QUEUE_FULL | PRODUCER_FAILED => self.kafka.unwritten += value,
            _ => {}
        }
    }

    fn http(&mut self, sample: &Sample<'_>) -> &mut HttpMetrics {
        self.http.entry(sample.label("component").to_owned()).or_default()
    }

    fn answers(&mut self, sample: &Sample<'_>) -> &mut f64 {
        let code = sample.label("code");
        let http = self.http(sample);
        match code.parse() {
            Ok(..400_u16) => &mut http.accepted,
            Ok(400..500) => &mut http.client_errors,
            // A code that is no number is not a success.
            Ok(500..) | Err(_) => &mut http.server_errors,
        }
    }

    fn partition(&mut self, sample: &Sample<'_>) -> &mut Partition {
        let key = PartitionKey {
            topic: sample.label("topic").to_owned(),
            partition: sample.label("partition").parse().unwrap_or_default(),
            component: sample.label("component").to_owned(),
        };
        self.partitions.entry(key).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Metrics {
        Metrics::read(text).unwrap()
    }

    #[test]
    fn samples_are_sorted_into_components_and_partitions() {
        let metrics = read(concat!(
            "spin_http_requests_total{component=\"ingest\",code=\"200\"} 7\n",
            "spin_http_requests_total{component=\"ingest\",code=\"304\"} 1\n",
            "spin_http_requests_total{component=\"ingest\",code=\"404\"} 2\n",
            "spin_http_requests_total{component=\"ingest\",code=\"429\"} 1\n",
            "spin_http_requests_total{component=\"ingest\",code=\"503\"} 4\n",
            "spin_http_requests_total{component=\"bridge\",code=\"?\"} 5\n",
            "spin_http_abandoned_requests_total{component=\"ingest\"} 6\n",
            "spin_http_unrouted_requests_total{problem=\"not-found\"} 7\n",
            "spin_http_unrouted_requests_total{problem=\"too-large\"} 1\n",
            "spin_http_requests_waiting{component=\"ingest\"} 3\n",
            "spin_http_instances{component=\"ingest\"} 2\n",
            "spin_kafka_lag{component=\"a\",topic=\"sales\",partition=\"10\"} 12\n",
            "spin_kafka_oldest_record_seconds{component=\"a\",topic=\"sales\",partition=\"10\"} 1.5\n",
            "spin_kafka_records_total{component=\"a\"} 100\n",
            "spin_kafka_records_total{component=\"b\"} 10\n",
            "spin_kafka_dead_letters_total{component=\"b\"} 2\n",
            "kafka_producer_delivered_total 9\n",
            "kafka_producer_queue_full_total 1\n",
            "kafka_producer_failed_total 2\n",
            "something_else{x=\"y\"} 1",
        ));
        let ingest = &metrics.http["ingest"];
        assert_eq!((ingest.accepted, ingest.client_errors, ingest.server_errors), (8.0, 3.0, 4.0));
        assert_eq!((ingest.abandoned, ingest.waiting, ingest.instances), (6.0, 3.0, 2.0));
        assert_eq!(metrics.unrouted, 8.0);
        assert_eq!(metrics.http["bridge"].server_errors, 5.0);
        let key = PartitionKey { topic: "sales".into(), partition: 10, component: "a".into() };
        let partition = Partition { lag: 12.0, oldest_seconds: 1.5 };
        assert_eq!(metrics.partitions, BTreeMap::from([(key, partition)]));
        let kafka = KafkaMetrics {
            records: 110.0,
            dead_letters: 2.0,
            written: 9.0,
            unwritten: 3.0,
            ..KafkaMetrics::default()
        };
        assert_eq!(metrics.kafka, kafka);
    }

    #[test]
    fn the_buckets_may_be_in_any_order() {
        let bucket = |le: &str, count: u32| {
            format!("{HTTP_SECONDS_BUCKET}{{component=\"a\",le=\"{le}\"}} {count}\n")
        };
        let text = bucket("+Inf", 9) + &bucket("0.1", 1) + bucket("1.0", 5).trim_end();
        let latency = Latency::of([(0.1, 1.0), (1.0, 5.0), (f64::INFINITY, 9.0)]);
        assert_eq!(read(&text).http["a"].latency, latency);
    }
}
