//! Observes how batches change a value.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use kafka_trigger::GuestHandler;
use redis::aio::MultiplexedConnection;
use redis::{RedisResult, Value};
use spin_kafka_trigger::{Answer, Batch, Failure, Handler, Position, Rejection};

use super::Window;
use super::difference::text;
use super::window::Places;

/// How a batch changed a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyChange {
    pub topic: Arc<str>,
    pub partition: i32,
    /// The first offset of the batch.
    pub start: i64,
    /// The offset after the last one.
    pub end: i64,
    /// The smallest and the largest time of a record, in milliseconds since 1970.
    pub times_ms: Option<(i64, i64)>,
    /// The value before the batch.
    pub before: String,
    /// The value after it.
    pub after: String,
}

/// A value: that of a key, or of a field or member in it.
#[derive(Debug, Clone)]
pub struct Watched {
    pub key: Vec<u8>,
    pub element: Option<Vec<u8>>,
}

impl Watched {
    /// The command that reads the value from a store in which the key has the same type as in this
    /// one; `None` if there is no such key. Of a key with several elements and without the name of
    /// one, the number of elements is read.
    pub async fn window(&self, store: &mut MultiplexedConnection) -> RedisResult<Option<Window>> {
        let kind: String = redis::cmd("TYPE").arg(&self.key).query_async(store).await?;
        let mut window = Window::default();
        let element = self.element.iter().cloned().collect::<Vec<_>>();
        let (command, places) = match (kind.as_str(), element.is_empty()) {
            ("none", _) => return Ok(None),
            ("hash", true) => ("HLEN", Places::Length),
            ("hash", false) => ("HMGET", Places::Fields(element)),
            ("zset", true) => ("ZCARD", Places::Length),
            ("zset", false) => ("ZMSCORE", Places::Scores(element)),
            ("set", true) => ("SCARD", Places::Length),
            ("set", false) => ("SMISMEMBER", Places::Members(element)),
            ("stream", _) => ("XLEN", Places::Length),
            ("list", _) => ("LLEN", Places::Length),
            ("string", _) => {
                window.add_string(&self.key, store).await?;
                return Ok(Some(window));
            }
            _ => ("GET", Places::Value),
        };
        window.add(command, &self.key, places);
        Ok(Some(window))
    }

    /// The value in a store, as it is shown.
    async fn read(&self, store: &mut MultiplexedConnection) -> RedisResult<String> {
        match self.window(store).await? {
            Some(window) => Ok(shown_value(&window.read(store).await?)),
            None => Ok(shown_value(&[])),
        }
    }
}

/// The value in the replies to a window of [`Watched::window`]; `nothing` if there is none.
pub fn shown_value(replies: &[Value]) -> String {
    match replies {
        [Value::Array(elements)] => text(elements.first().unwrap_or(&Value::Nil)),
        [value] => text(value),
        _ => text(&Value::Nil),
    }
}

/// Notes the last changes of a value. Only one call may run at a time.
#[derive(Clone)]
pub struct Observer {
    watched: Watched,
    kept_max: usize,
    changes: Arc<Mutex<Changes>>,
}

struct Changes {
    value: String,
    number: u64,
    last: VecDeque<KeyChange>,
}

impl Observer {
    /// Keeps the last `kept_max` changes.
    pub fn new(watched: Watched, kept_max: usize) -> Self {
        let changes = Changes { value: shown_value(&[]), number: 0, last: VecDeque::new() };
        Self { watched, kept_max, changes: Arc::new(Mutex::new(changes)) }
    }

    /// The number of changes, and the last ones of them.
    pub fn changes(&self) -> (u64, Vec<KeyChange>) {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        (changes.number, changes.last.iter().cloned().collect())
    }

    async fn note(&self, batch: &Batch, store: &MultiplexedConnection) -> RedisResult<()> {
        let after = self.watched.read(&mut store.clone()).await?;
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if changes.value == after {
            return Ok(());
        }
        let times = || batch.records.iter().filter_map(|record| record.timestamp_ms);
        let before = std::mem::replace(&mut changes.value, after.clone());
        changes.number += 1;
        changes.last.push_back(KeyChange {
            topic: batch.topic.clone(),
            partition: batch.partition,
            start: batch.start,
            end: batch.end,
            times_ms: times().min().zip(times().max()),
            before,
            after,
        });
        if changes.last.len() > self.kept_max {
            changes.last.pop_front();
        }
        Ok(())
    }
}

/// Calls the component, and then the observer.
pub struct Observed {
    pub guest: GuestHandler,
    pub observer: Option<Observer>,
    pub store: MultiplexedConnection,
}

impl Handler for Observed {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        self.answer(Arc::new(batch.clone())).await?.only_rejections()
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
        let answer = self.guest.answer(batch.clone()).await;
        if let Some(observer) = &self.observer {
            let noted = observer.note(&batch, &self.store).await;
            noted.map_err(|error| Failure::Fatal(format!("the private store: {error}")))?;
        }
        answer
    }

    async fn position(
        &self,
        group: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<Position, Failure> {
        self.guest.position(group, topic, log_id, partition).await
    }
}
