//! The state of the whole pipeline.

use metrics_text::{Sample, lines};
use serde::Serialize;

use crate::requests::{Requests, add};
use crate::{Consumer, Error, Refusal, RequestHop};

/// How far two readings must be apart for a rate, if the metrics are read from the processes.
const WINDOW_MS: u32 = 5_000;

/// The same if the metrics are read from Prometheus, which reads each process every 15 or 30 s, at
/// a different time.
const SCRAPED_WINDOW_MS: u32 = 60_000;

/// The state of the pipeline at one moment. Values of the same metric are added over all processes;
/// counts begin at the start of each process.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Pipeline {
    /// When the metrics were read, in milliseconds since 1970-01-01 UTC.
    pub time_ms: i64,
    /// The time in milliseconds over which rates can be computed.
    pub rate_window_ms: u32,
    /// The components that serve requests, in the order of a sale's path. A component without
    /// metrics is missing.
    pub requests: Vec<RequestHop>,
    /// What the host refused, the most frequent reason first.
    pub refusals: Vec<Refusal>,
    /// The host's Kafka producer, if there is one.
    pub producer: Option<Producer>,
    /// The consumer, if there is one.
    pub consumer: Option<Consumer>,
}

/// The Kafka producers of all hosts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Producer {
    /// Records that the broker acknowledged.
    pub delivered: u64,
    /// Calls that failed because the queue was full.
    pub queue_full: u64,
    /// Calls that failed for another reason.
    pub failed: u64,
}

impl Pipeline {
    /// Reads a text with metrics. `now_ms` is the time of metrics without a timestamp.
    pub fn parse(text: &str, now_ms: i64) -> Result<Self, Error> {
        let mut requests = Requests::default();
        let (mut producer, mut consumer, mut time_ms) = (None, None, None);
        let mut is_known = false;
        for line in lines(text) {
            let Some((prefix, name)) = split_prefix(line.name) else { continue };
            let sample = line.sample()?;
            match prefix {
                "spin_http_" if !requests.add(name, &sample) => continue,
                "spin_http_" => {}
                "spin_kafka_" => consumer.get_or_insert_with(Consumer::default).add(name, &sample),
                _ => producer.get_or_insert_with(Producer::default).add(name, &sample),
            }
            time_ms = time_ms.max(sample.time_ms);
            is_known = true;
        }
        if !is_known {
            return Err(Error::NoMetrics);
        }
        let (requests, refusals) = requests.finish();
        let rate_window_ms = if time_ms.is_some() { SCRAPED_WINDOW_MS } else { WINDOW_MS };
        let time_ms = time_ms.unwrap_or(now_ms);
        Ok(Self { time_ms, rate_window_ms, requests, refusals, producer, consumer })
    }

    /// The state as a JSON object on one line.
    pub fn to_json(&self) -> Vec<u8> {
        // All keys are strings and all numbers are finite, so it cannot fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Splits the prefix off the name of a metric of the pipeline.
fn split_prefix(name: &str) -> Option<(&'static str, &str)> {
    // Histograms have many buckets, which are not used.
    if name.ends_with("_bucket") {
        return None;
    }
    ["spin_http_", "spin_kafka_", "kafka_producer_"]
        .into_iter()
        .find_map(|prefix| Some((prefix, name.strip_prefix(prefix)?)))
}

impl Producer {
    fn add(&mut self, name: &str, sample: &Sample<'_>) {
        let total = match name {
            "delivered_total" => &mut self.delivered,
            "queue_full_total" => &mut self.queue_full,
            "failed_total" => &mut self.failed,
            _ => return,
        };
        add(total, sample);
    }
}
