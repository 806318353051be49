//! A client that declares queues, publishes with confirms, and takes messages.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use lapin::message::Delivery;
use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};

/// The delivery mode of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// A connection with one channel.
pub struct QueueClient {
    _connection: Connection,
    channel: Channel,
}

/// A message to publish.
pub struct QueueMessage {
    body: Vec<u8>,
    properties: BasicProperties,
}

impl QueueMessage {
    /// A message with this id and text.
    pub fn new(id: &str, body: &str) -> Self {
        Self::of_bytes(id, body.as_bytes())
    }

    /// A message with this id and body.
    pub fn of_bytes(id: &str, body: &[u8]) -> Self {
        let properties =
            BasicProperties::default().with_message_id(id.into()).with_delivery_mode(PERSISTENT);
        Self { body: body.into(), properties }
    }

    /// Sets the time of the message, in seconds since 1970-01-01 UTC.
    pub fn with_timestamp_s(self, seconds: u64) -> Self {
        Self { properties: self.properties.with_timestamp(seconds), ..self }
    }
}

impl QueueClient {
    /// Connects to the broker at this URL.
    pub async fn connect(url: &str) -> Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(Self { _connection: connection, channel })
    }

    /// Declares a durable quorum queue.
    pub async fn declare(&self, queue: &str) -> Result<()> {
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel.queue_declare(queue.into(), options, arguments).await?;
        Ok(())
    }

    /// Deletes a queue with its messages.
    pub async fn delete(&self, queue: &str) -> Result<()> {
        self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await?;
        Ok(())
    }

    /// Publishes messages, and waits until the broker has confirmed all of them.
    pub async fn publish(
        &self,
        queue: &str,
        messages: impl IntoIterator<Item = QueueMessage>,
    ) -> Result<()> {
        let publish = messages.into_iter().map(|QueueMessage { body, properties }| async move {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let published =
                self.channel.basic_publish("".into(), queue.into(), options, &body, properties);
            let confirmed = published.await?.await?;
            ensure!(
                confirmed.is_ack() && confirmed.take_message().is_none(),
                "the broker did not accept a message for {queue}"
            );
            Ok(())
        });
        try_join_all(publish).await?;
        Ok(())
    }

    /// The number of messages in the queue that are not delivered.
    pub async fn waiting(&self, queue: &str) -> Result<u32> {
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let arguments = FieldTable::default();
        let queue = self.channel.queue_declare(queue.into(), options, arguments).await?;
        Ok(queue.message_count())
    }

    /// Takes the next message, if there is one.
    pub async fn take(&self, queue: &str) -> Result<Option<Delivery>> {
        let taken = self.channel.basic_get(queue.into(), BasicGetOptions { no_ack: true }).await?;
        Ok(taken.map(|message| message.delivery))
    }
}
