//! Publishes dead letters to the dead-letter exchange.

use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use amqp_client::headers::{BYTES_MAX, ROUTING};
use amqp_client::{Answer, Publication, Published, Returned, close_channel, open_channel, publish};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use spin_kafka_trigger::source::{Letter, LetterFault, LetterWriter};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::held::{Held, Origin};

/// The headers that are added to a dead letter, in addition to those of
/// [`spin_kafka_trigger::headers`].
pub mod headers {
    /// The prefix of their names.
    pub(crate) const PREFIX: &str = "spin-amqp.errors.";
    /// The exchange to which the message was published.
    pub const EXCHANGE: &str = "spin-amqp.errors.exchange";
    /// The routing key of the message.
    pub const ROUTING_KEY: &str = "spin-amqp.errors.routing-key";
}

/// How long the broker may take to confirm a letter. If a quorum queue has no leader, as after a
/// restart of the broker, RabbitMQ may never confirm what a channel has published in the meantime.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
/// The delivery mode of a message that survives a restart of the broker.
pub(crate) const PERSISTENT: u8 = 2;

/// Publishes dead letters on the current connection.
pub(crate) struct Letters {
    exchange: ShortString,
    routing_key: ShortString,
    group: String,
    held: Arc<Held>,
    connection: SyncMutex<Option<Arc<Connection>>>,
    /// A channel with publisher confirms. An error closes it. It is locked while letters are published.
    channel: Mutex<Option<Channel>>,
}

impl Letters {
    pub fn new(exchange: &str, routing_key: &str, group: String, held: Arc<Held>) -> Self {
        Self {
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            group,
            held,
            connection: SyncMutex::default(),
            channel: Mutex::default(),
        }
    }

    /// Uses this connection from now on; none after a connection was lost.
    pub async fn set_connection(&self, connection: Option<Arc<Connection>>) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = connection;
        if let Some(channel) = self.channel.lock().await.take() {
            close_channel(&channel).await;
        }
    }

    /// The channel. It is opened for the first letter, and again after an error.
    async fn open(&self, current: Option<Channel>) -> Result<Channel, LetterFault> {
        if let Some(channel) = current.filter(|channel| channel.status().connected()) {
            return Ok(channel);
        }
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = connection.ok_or_else(|| unavailable("there is no connection"))?;
        open_channel(&connection).await.map_err(unavailable)
    }

    async fn publish(&self, letters: &[Letter<'_>]) -> Vec<Result<(), LetterFault>> {
        let lost = || Err(unavailable("its connection was lost"));
        let mut messages = Vec::with_capacity(letters.len());
        for letter in letters {
            let Some(origin) = self.held.get(letter.record.offset) else {
                // The whole batch is delivered again.
                return letters.iter().map(|_| lost()).collect();
            };
            let body = letter.record.value.as_deref().unwrap_or_default().to_vec();
            let properties = properties(&origin, letter, &self.group);
            messages.push(Publication { properties, body });
        }
        // Letters of another part of the batch wait until these are confirmed.
        let mut current = self.channel.lock().await;
        let channel = match self.open(current.take()).await {
            Ok(channel) => channel,
            Err(fault) => return vec![Err(fault); letters.len()],
        };
        let deadline = Instant::now() + CONFIRM_LIMIT;
        let Published { answers, channel, .. } =
            publish(channel, &self.exchange, &self.routing_key, messages, deadline, ()).await;
        // Without a channel, the next attempt opens one.
        *current = channel;
        let returned = Returned::of(&answers);
        answers.into_iter().map(|answer| result(answer, returned)).collect()
    }
}

fn result(answer: Answer, returned: Returned) -> Result<(), LetterFault> {
    match answer {
        Some(Ok(_)) if returned != Returned::None => Err(LetterFault {
            reason: "the broker returned it, or another letter: no queue is bound for it".into(),
            advice: "create the queue of the dead letters, or bind one to `dead_letter_exchange`",
        }),
        Some(Ok(Confirmation::Ack(_))) => Ok(()),
        Some(Ok(Confirmation::Nack(_) | Confirmation::NotRequested)) => Err(LetterFault {
            reason: "the broker did not accept it".into(),
            advice: "check the length limit and the disk of the queue of the dead letters",
        }),
        Some(Err(error)) => Err(LetterFault {
            reason: error.to_string(),
            advice: "create `dead_letter_exchange`, and let the user write to it",
        }),
        None => Err(unavailable("the broker did not confirm it in time")),
    }
}

impl LetterWriter for Letters {
    fn write<'a>(
        &'a self,
        letters: &'a [Letter<'a>],
    ) -> BoxFuture<'a, Vec<Result<(), LetterFault>>> {
        self.publish(letters).boxed()
    }
}

fn unavailable(reason: impl Into<String>) -> LetterFault {
    LetterFault { reason: reason.into(), advice: "check the broker" }
}

/// The properties of the letter: those of the message and its headers, unless they are too large,
/// and those that describe the error. The letter does not expire, and is routed by nothing but its
/// routing key: by further ones it could return into the queue from which it comes.
fn properties(origin: &Origin, letter: &Letter<'_>, group: &str) -> BasicProperties {
    let Origin { exchange, routing_key, properties } = origin;
    let mut all = FieldTable::default();
    let omits = headers_bytes(properties) > BYTES_MAX;
    if let Some(headers) = properties.headers().as_ref().filter(|_| !omits) {
        let headers = headers.inner().iter();
        for (name, value) in headers.filter(|(name, _)| !ROUTING.contains(&name.as_str())) {
            all.insert(name.clone(), value.clone());
        }
    }
    let mut add = |name: &str, value: &str| {
        all.insert(name.into(), AMQPValue::LongString(value.into()));
    };
    for (name, value) in letter.description(group) {
        add(name, &value);
    }
    add(headers::EXCHANGE, exchange.as_str());
    add(headers::ROUTING_KEY, routing_key.as_str());
    if omits {
        add(spin_kafka_trigger::headers::OMITTED_BYTES, &headers_bytes(properties).to_string());
    }
    let mut written = BasicProperties::default().with_headers(all).with_delivery_mode(PERSISTENT);
    macro_rules! keep {
        ($($get:ident $with:ident),*) => {
            $(if let Some(value) = properties.$get() {
                written = written.$with(value.clone());
            })*
        };
    }
    keep!(
        content_type with_content_type,
        content_encoding with_content_encoding,
        priority with_priority,
        correlation_id with_correlation_id,
        reply_to with_reply_to,
        message_id with_message_id,
        timestamp with_timestamp,
        kind with_type,
        app_id with_app_id
    );
    written
}

/// About how many bytes the headers with single values take.
fn headers_bytes(properties: &BasicProperties) -> usize {
    let Some(headers) = properties.headers() else { return 0 };
    table_bytes(headers)
}

fn table_bytes(table: &FieldTable) -> usize {
    table.inner().iter().map(|(name, value)| name.as_str().len() + value_bytes(value)).sum()
}

fn value_bytes(value: &AMQPValue) -> usize {
    match value {
        AMQPValue::LongString(text) => text.as_bytes().len(),
        AMQPValue::ShortString(text) => text.as_str().len(),
        AMQPValue::ByteArray(bytes) => bytes.as_slice().len(),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(value_bytes).sum(),
        AMQPValue::FieldTable(table) => table_bytes(table),
        // The longest other value, with its type.
        _ => 9,
    }
}
