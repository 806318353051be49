//! Publishes records and waits for their confirms.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use amqp_client::{Publication, publish};
use futures::future::join_all;
use kafka_record::{Metrics, OutgoingRecord, ProduceError};
use lapin::Channel;
use lapin::types::ShortString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout_at};

use crate::Config;
use crate::channels::IdleChannels;
use crate::connector::Connector;
use crate::message::Message;
use crate::outcome::{Written, results};

/// The pause before another channel is opened, after a connection had failed to open one.
const CHANNEL_PAUSE: Duration = Duration::from_millis(50);

/// How often a flush checks whether records still wait.
const FLUSH_INTERVAL: Duration = Duration::from_millis(10);

/// A producer with one connection. Clones share it.
#[derive(Clone)]
pub struct Producer(Arc<Inner>);

struct Inner {
    config: Config,
    exchange: ShortString,
    connector: Connector,
    metrics: Arc<Metrics>,
    /// The room for records that wait.
    records: Arc<Semaphore>,
    /// The room for their bytes.
    bytes: Arc<Semaphore>,
    /// The groups that may be published at once.
    groups: Arc<Semaphore>,
    idle: IdleChannels,
}

/// Records still had no confirm at the end of a flush. They may or may not be written.
#[derive(Debug, thiserror::Error)]
#[error("{records} records were not confirmed by {broker} within {waited_ms} ms")]
pub struct FlushError {
    /// Number of these records.
    pub records: usize,
    /// The broker.
    pub broker: String,
    /// How long the flush waited, in milliseconds.
    pub waited_ms: u128,
}

impl fmt::Debug for Producer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Producer").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// A record that waits, with the room that it takes.
struct Waiting {
    /// Its place among the records of the call.
    index: usize,
    message: Message,
    room: [OwnedSemaphorePermit; 2],
}

impl Producer {
    /// A producer that connects when it is used for the first time.
    pub fn new(config: Config) -> Self {
        let metrics = Arc::new(Metrics::default());
        let permits =
            |count: u32| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX)));
        Self(Arc::new(Inner {
            exchange: config.exchange.as_str().into(),
            connector: Connector::new(config.address.clone(), metrics.clone()),
            records: permits(config.queue_records_max),
            bytes: permits(config.queue_bytes_max),
            groups: permits(config.channels_max.into()),
            idle: IdleChannels::default(),
            metrics,
            config,
        }))
    }

    /// The counters.
    pub fn metrics(&self) -> &Metrics {
        &self.0.metrics
    }

    /// Publishes the records. Resolves when the broker has confirmed each of them or it has failed,
    /// with one result for each record, in the order of the records. A record may be written although
    /// one before it failed. Records of one call with the same topic keep their order. Must be called
    /// within a tokio runtime.
    ///
    /// Resolves within the delivery timeout, and sooner while the broker cannot be reached. Records
    /// for which there is no room fail at once. If the future is dropped, records that were not
    /// confirmed may or may not be written. A record takes its room until it is sent, even if it has
    /// failed before.
    pub async fn send_each(&self, records: Vec<OutgoingRecord>) -> Vec<Written> {
        let results = self.0.send_each(records).await;
        self.0.metrics.count(&results);
        results
    }

    /// Why records cannot be written; `None` if the producer is connected.
    pub fn fault(&self) -> Option<String> {
        let error = self.0.connector.current().err()?;
        let broker = self.0.config.address.public();
        Some(format!("the producer is not connected to {broker}: {error}"))
    }

    /// Waits until no record waits for its confirm, or to be sent.
    pub async fn flush(&self, limit: Duration) -> Result<(), FlushError> {
        let deadline = Instant::now() + limit;
        loop {
            let records = self.0.records_waiting();
            if records == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let broker = self.0.config.address.public().into();
                return Err(FlushError { records, broker, waited_ms: limit.as_millis() });
            }
            sleep(FLUSH_INTERVAL).await;
        }
    }
}

impl Inner {
    /// The number of records that wait for their confirm.
    fn records_waiting(&self) -> usize {
        let all = usize::try_from(self.config.queue_records_max).unwrap_or(usize::MAX);
        all.saturating_sub(self.records.available_permits())
    }

    async fn send_each(&self, records: Vec<OutgoingRecord>) -> Vec<Written> {
        let deadline = Instant::now() + self.config.delivery_timeout;
        let mut written: Vec<Option<Written>> = records.iter().map(|_| None).collect();
        let mut groups: Vec<Vec<Waiting>> = Vec::new();
        for (index, record) in records.into_iter().enumerate() {
            match self.waiting(index, record) {
                Ok(waiting) => {
                    let is_its = |group: &&mut Vec<Waiting>| {
                        let routing_key = &waiting.message.routing_key;
                        group.first().is_some_and(|first| first.message.routing_key == *routing_key)
                    };
                    match groups.iter_mut().find(is_its) {
                        Some(group) => group.push(waiting),
                        None => groups.push(vec![waiting]),
                    }
                }
                Err(error) => set(&mut written, index, Err(error)),
            }
        }
        let sent = groups.into_iter().map(|group| self.send_group(group, deadline));
        for (index, result) in join_all(sent).await.into_iter().flatten() {
            set(&mut written, index, result);
        }
        let unset = || Err(ProduceError::Other("the producer has no result for it".into()));
        written.into_iter().map(|result| result.unwrap_or_else(unset)).collect()
    }

    fn waiting(&self, index: usize, record: OutgoingRecord) -> Result<Waiting, ProduceError> {
        let message = Message::new(record, self.config.record_bytes_max)?;
        let full = |_| ProduceError::QueueFull;
        let bytes = u32::try_from(message.bytes).map_err(|_| ProduceError::QueueFull)?;
        let room = [
            self.records.clone().try_acquire_owned().map_err(full)?,
            self.bytes.clone().try_acquire_many_owned(bytes).map_err(full)?,
        ];
        Ok(Waiting { index, message, room })
    }

    /// Publishes records with the same topic.
    async fn send_group(&self, group: Vec<Waiting>, deadline: Instant) -> Vec<(usize, Written)> {
        let routing_key =
            group.first().map(|first| first.message.routing_key.clone()).unwrap_or_default();
        let place = format!("topic `{routing_key}` at {}", self.config.address.public());
        let indexes: Vec<usize> = group.iter().map(|waiting| waiting.index).collect();
        let results = match self.channel(&place, deadline).await {
            Ok((channel, permit)) => {
                let mut rooms = Vec::with_capacity(group.len());
                let mut messages = Vec::with_capacity(group.len());
                for Waiting { message: Message { properties, body, .. }, room, .. } in group {
                    messages.push(Publication { properties, body });
                    rooms.push(room);
                }
                let room = (rooms, permit);
                let published =
                    publish(channel, &self.exchange, &routing_key, messages, deadline, room).await;
                if let Some(channel) = published.channel {
                    self.idle.put_back(channel);
                }
                results(&place, &published.answers)
            }
            Err(error) => vec![Err(error); group.len()],
        };
        indexes.into_iter().zip(results).collect()
    }

    /// A channel for one group. If there is none, nothing was published.
    async fn channel(
        &self,
        place: &str,
        deadline: Instant,
    ) -> Result<(Channel, OwnedSemaphorePermit), ProduceError> {
        let permit = match timeout_at(deadline, self.groups.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => return Err(ProduceError::QueueFull),
        };
        let reachable_by = deadline.min(Instant::now() + self.config.unreachable_timeout);
        loop {
            let rest = reachable_by.saturating_duration_since(Instant::now());
            let connection = self.connector.connection(rest).await.map_err(|error| {
                let text = format!("{place}: {error}");
                if error.is_refused {
                    ProduceError::Refused(text)
                } else {
                    ProduceError::Unavailable(text)
                }
            })?;
            if connection.status().blocked() {
                let reason = "the broker does not accept messages because of its memory or disk";
                return Err(ProduceError::Unavailable(format!("{place}: {reason}")));
            }
            let taken = timeout_at(reachable_by, self.idle.take(&connection)).await;
            let reason = match taken {
                Ok(Ok(channel)) => return Ok((channel, permit)),
                Ok(Err(reason)) => reason,
                Err(_) => "the broker did not open a channel in time".into(),
            };
            if Instant::now() >= reachable_by {
                return Err(ProduceError::Unavailable(format!("{place}: {reason}")));
            }
            sleep(CHANNEL_PAUSE).await;
        }
    }
}

/// Sets the result of the record with this index.
fn set(written: &mut [Option<Written>], index: usize, result: Written) {
    if let Some(place) = written.get_mut(index) {
        *place = Some(result);
    }
}
