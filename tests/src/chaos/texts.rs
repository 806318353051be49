//! The texts whose words the second function counts.

use host_producer::{Header, OutgoingRecord};
use serde_json::json;

/// The topic.
pub const TOPIC: &str = "texts";
/// Number of partitions: two for each member of the group.
pub const PARTITIONS: i32 = 6;
/// The partition that only other programs write to. Each partition has one writer, so the order of
/// its records is known.
pub const FOREIGN: i32 = PARTITIONS - 1;

/// The event time of the first text: 2025-01-01T00:00:00Z. The windows are kept for years after it.
const BEGIN_MS: i64 = 1_735_689_600_000;
/// Event time between two texts of a partition.
const STEP_MS: i64 = 4_000;
const WORDS: [&str; 7] = ["to", "be", "or", "not", "that", "is", "question"];

/// A text. It is the same for the same partition and number.
#[derive(Debug, Clone)]
pub struct Text {
    /// Identifies it; it is the key of its record.
    pub id: String,
    /// Its event time in ms since 1970. A text without one is invalid.
    pub time_ms: Option<i64>,
    /// Its words.
    pub words: Vec<&'static str>,
}

impl Text {
    /// Some texts are late for all of their windows, some only for the first ones, and some have no
    /// event time. The others are at most 15 s out of order.
    pub fn new(partition: i32, number: i64) -> Self {
        let delay_ms = match number {
            _ if number % 13 == 0 => 130_000,
            _ if number % 7 == 0 => 55_000,
            _ => number % 4 * 5_000,
        };
        let is_valid = number % 31 != 30;
        let word = |index: i64| {
            let index = (number * 5 + index * number).unsigned_abs();
            WORDS[index as usize % WORDS.len()]
        };
        Self {
            id: format!("{partition}-{number}"),
            time_ms: is_valid.then_some(BEGIN_MS + number * STEP_MS - delay_ms),
            words: (0..=number % 5).map(word).collect(),
        }
    }

    /// The value of its record.
    pub fn value(&self) -> String {
        let words = self.words.join(" ");
        match self.time_ms {
            Some(time_ms) => json!({ "id": self.id, "at": time_ms, "words": words }),
            None => json!({ "id": self.id, "words": words }),
        }
        .to_string()
    }

    /// Its record. With an idempotency key it may be written several times.
    pub fn record(&self, partition: i32, has_key: bool) -> OutgoingRecord {
        let id = || Some(self.id.clone().into_bytes());
        let key = || Header { name: "idempotency-key".into(), value: id() };
        OutgoingRecord {
            topic: TOPIC.into(),
            partition: Some(partition),
            key: id(),
            value: Some(self.value().into_bytes()),
            headers: has_key.then(key).into_iter().collect(),
            ..OutgoingRecord::default()
        }
    }
}
