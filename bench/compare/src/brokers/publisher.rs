//! Publishes posts, to a broker or to the application, and waits for the acknowledgements.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures::future::try_join_all;
use host_producer::{Header, OutgoingRecord, Producer, ProducerConfig};
use tokio::time::{Instant, sleep};

use crate::brokers::posts::Post;

/// Maximum time until posts are acknowledged: longer than the program and both brokers need.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// The pause before posts are published again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// Maximum time for which posts are published again.
const RETRY_LIMIT: Duration = Duration::from_secs(300);

/// Where posts are published.
#[derive(Debug, Clone)]
pub enum Destination {
    /// A topic of Kafka.
    Topic { brokers: String, topic: String },
    /// A queue of RabbitMQ.
    Queue { url: String, queue: String },
    /// A front door of the application.
    Http { address: SocketAddr, path: &'static str },
}

/// A client of one of them. The producers are those of the host, which components use.
pub enum Publisher {
    Topic { producer: Producer, topic: String },
    Queue { producer: amqp_producer::Producer, queue: String },
    Http { client: reqwest::Client, url: String },
}

impl Publisher {
    /// Creates the client, which connects when it is used.
    pub fn new(destination: &Destination) -> Result<Self> {
        Ok(match destination {
            Destination::Topic { brokers, topic } => Self::Topic {
                producer: Producer::new(ProducerConfig::new(brokers))?,
                topic: topic.clone(),
            },
            Destination::Queue { url, queue } => {
                let config = amqp_producer::Config::new(url, None, "")?;
                let producer = amqp_producer::Producer::new(config);
                Self::Queue { producer, queue: queue.clone() }
            }
            Destination::Http { address, path } => Self::Http {
                client: reqwest::Client::builder().timeout(ANSWER_LIMIT).build()?,
                url: format!("http://{address}{path}"),
            },
        })
    }

    /// Publishes posts, and waits until all are acknowledged. After an error, some or all of them
    /// may have been written.
    pub async fn publish(&self, posts: &[Post]) -> Result<()> {
        match self {
            Self::Topic { producer, topic } => {
                producer.send(posts.iter().map(|post| record(topic, post)).collect()).await?;
                Ok(())
            }
            Self::Queue { producer, queue } => {
                let records = posts.iter().map(|post| record(queue, post)).collect();
                for written in producer.send_each(records).await {
                    written?;
                }
                Ok(())
            }
            Self::Http { client, url } => {
                try_join_all(posts.iter().map(async |post| {
                    let request = client.post(url).header("content-type", "application/json");
                    let request = request.header("idempotency-key", &post.id).body(post.json());
                    let answer = request.send().await?;
                    ensure!(answer.status().is_success(), "status {}", answer.status());
                    Ok(())
                }))
                .await?;
                Ok(())
            }
        }
    }
}

/// Publishes posts until all are acknowledged, as a client does that must not lose any: after an error
/// they are published again with the same ids, over a new connection. Returns the number of attempts.
pub async fn publish_until_acknowledged(
    publisher: &mut Option<Publisher>,
    destination: &Destination,
    posts: &[Post],
) -> Result<u64> {
    let begun = Instant::now();
    for attempt in 1.. {
        let published = async {
            let connected = match publisher.take() {
                Some(connected) => connected,
                None => Publisher::new(destination)?,
            };
            connected.publish(posts).await?;
            *publisher = Some(connected);
            anyhow::Ok(())
        };
        match published.await {
            Ok(()) => return Ok(attempt),
            Err(error) if begun.elapsed() > RETRY_LIMIT => {
                bail!("posts are not acknowledged for {RETRY_LIMIT:?}: {error:#}")
            }
            Err(_) => sleep(RETRY_PAUSE).await,
        }
    }
    bail!("too many attempts")
}

fn record(topic: &str, post: &Post) -> OutgoingRecord {
    let id = post.id.clone().into_bytes();
    OutgoingRecord {
        topic: topic.into(),
        key: Some(post.country.clone().into_bytes()),
        value: Some(post.json().into_bytes()),
        headers: vec![Header { name: "idempotency-key".into(), value: Some(id) }],
        ..OutgoingRecord::default()
    }
}
