//! Records, queues and waits of the tests.

use std::time::Duration;

use amqp_producer::{Config, Header, OutgoingRecord, ProduceError, Producer};
use lapin::options::{QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};

/// The time limits of the producers. A busy machine does not exceed them.
pub const LIMIT: Duration = Duration::from_secs(120);

/// Settings with these time limits.
pub fn config(url: &str, exchange: &str) -> Config {
    let mut config = Config::new(url, None, exchange).unwrap();
    (config.delivery_timeout, config.unreachable_timeout) = (LIMIT, LIMIT);
    config
}

pub fn record(topic: &str, id: &str) -> OutgoingRecord {
    OutgoingRecord {
        topic: topic.into(),
        value: Some(id.into()),
        headers: vec![Header { name: "idempotency-key".into(), value: Some(id.into()) }],
        ..OutgoingRecord::default()
    }
}

/// Sends one record.
pub async fn send(producer: &Producer, record: OutgoingRecord) -> Result<(), ProduceError> {
    producer.send_each(vec![record]).await.remove(0).map(drop)
}

/// Declares a durable classic queue, which takes messages at once after a crash of the broker, and
/// binds it to this exchange, if one is given.
pub async fn declare(
    url: &str,
    queue: &str,
    exchange: Option<&str>,
    settings: &[(&str, AMQPValue)],
) {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    for (name, value) in settings {
        arguments.insert((*name).into(), value.clone());
    }
    let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), options, arguments).await.unwrap();
    if let Some(exchange) = exchange {
        let options = QueueBindOptions::default();
        let arguments = FieldTable::default();
        let bound =
            channel.queue_bind(queue.into(), exchange.into(), queue.into(), options, arguments);
        bound.await.unwrap();
    }
}
