//! Publishes dead letters to the dead-letter exchange.

use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use amqp_client::headers::{BYTES_MAX, ROUTING};
use amqp_client::{close_channel, within};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use spin_kafka_trigger::source::{Letter, LetterFault, LetterWriter};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::held::{Held, Origin};

/// The headers that are added to a dead letter, in addition to those of
/// [`spin_kafka_trigger::headers`].
pub mod headers {
    /// The exchange to which the message was published.
    pub const EXCHANGE: &str = "spin-amqp.errors.exchange";
    /// The routing key of the message.
    pub const ROUTING_KEY: &str = "spin-amqp.errors.routing-key";
}

/// How long the broker may take to confirm a letter. If a quorum queue has no leader, as after a
/// restart of the broker, RabbitMQ may never confirm what a channel has published in the meantime.
const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
/// The delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// Publishes dead letters on the current connection.
pub(crate) struct Letters {
    exchange: ShortString,
    routing_key: ShortString,
    group: String,
    held: Arc<Held>,
    connection: SyncMutex<Option<Arc<Connection>>>,
    /// A channel with publisher confirms. An error closes it.
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
    async fn channel(&self) -> Result<Channel, LetterFault> {
        let mut current = self.channel.lock().await;
        if let Some(channel) = current.as_ref().filter(|channel| channel.status().connected()) {
            return Ok(channel.clone());
        }
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let connection = connection.ok_or_else(|| unavailable("there is no connection"))?;
        let channel = within(connection.create_channel()).await.map_err(unavailable)?;
        let confirms = channel.confirm_select(ConfirmSelectOptions::default());
        within(confirms).await.map_err(unavailable)?;
        Ok(current.insert(channel).clone())
    }

    async fn publish(&self, letter: &Letter<'_>) -> Result<(), LetterFault> {
        let origin = self.held.get(letter.record.offset);
        let origin = origin.ok_or_else(|| unavailable("its connection was lost"))?;
        let channel = self.channel().await?;
        let properties = properties(&origin, letter, &self.group);
        let body = letter.record.value.as_deref().unwrap_or_default();
        let published = async {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let (exchange, routing_key) = (self.exchange.clone(), self.routing_key.clone());
            channel.basic_publish(exchange, routing_key, options, body, properties).await?.await
        };
        let confirmed = timeout(CONFIRM_LIMIT, published).await;
        if !matches!(confirmed, Ok(Ok(_))) {
            // The next attempt uses a new channel.
            self.channel.lock().await.take_if(|current| current.id() == channel.id());
        }
        match confirmed {
            Ok(Ok(Confirmation::Ack(None))) => Ok(()),
            Ok(Ok(Confirmation::Ack(Some(_)) | Confirmation::Nack(Some(_)))) => Err(LetterFault {
                reason: "the broker returned it: no queue is bound for it".into(),
                advice: "create the queue of the dead letters, or bind one to \
                         `dead_letter_exchange`",
            }),
            Ok(Ok(Confirmation::Nack(None) | Confirmation::NotRequested)) => Err(LetterFault {
                reason: "the broker did not accept it".into(),
                advice: "check the length limit and the disk of the queue of the dead letters",
            }),
            Ok(Err(error)) => Err(LetterFault {
                reason: error.to_string(),
                advice: "create `dead_letter_exchange`, and let the user write to it",
            }),
            Err(_) => Err(unavailable("the broker did not confirm it in time")),
        }
    }
}

impl LetterWriter for Letters {
    fn write<'a>(&'a self, letter: &'a Letter<'a>) -> BoxFuture<'a, Result<(), LetterFault>> {
        self.publish(letter).boxed()
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
