//! Creates missing topics, and reads their settings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kafka_client::{TokenError, TokenSource};
use rdkafka::admin::{self, AdminClient, AdminOptions, ResourceSpecifier, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::reachability::Reachability;
use crate::{Error, ProducerConfig};

/// How long one request to the cluster may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long it may take until the partitions of a new topic have leaders.
const READY_DEADLINE: Duration = Duration::from_secs(15);
/// The pause between two checks of a new topic.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// The topic's setting for the size of its largest record batch.
pub const RECORD_BYTES: &str = "max.message.bytes";
/// Makes the broker use its `default.replication.factor`.
const REPLICATION_DEFAULT: i32 = -1;

/// Whether the topic was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicState {
    /// It was missing and was created.
    Created,
    /// It existed, and its partitions were not changed.
    Exists,
}

/// A topic that is created if it is missing.
#[derive(Debug, Clone, Copy)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// The number of its partitions.
    pub partitions: i32,
    /// Its settings, by Kafka's names. Other settings have the brokers' defaults.
    pub settings: &'a [(&'a str, &'a str)],
}

impl<'a> NewTopic<'a> {
    /// A topic with the brokers' defaults for everything else.
    pub fn new(name: &'a str, partitions: i32) -> Self {
        Self { name, partitions, settings: &[] }
    }
}

/// [`TopicAdmin::ensure`] with a connection for this call only.
pub async fn ensure_topic(
    config: &ProducerConfig,
    topic: NewTopic<'_>,
) -> Result<TopicState, Error> {
    TopicAdmin::new(config)?.ensure(topic).await
}

/// A connection to a cluster for its topics.
pub struct TopicAdmin {
    brokers: String,
    tokens: Option<TokenSource>,
    client: Arc<AdminClient<Reachability>>,
}

impl TopicAdmin {
    /// Of `config`, only the brokers and `client` are used. It connects at the first call.
    pub fn new(config: &ProducerConfig) -> Result<Self, Error> {
        config.validate()?;
        let client = config.admin_client().create(Reachability::new(config.tokens()))?;
        let (brokers, tokens) = (config.brokers.clone(), config.tokens());
        Ok(Self { brokers, tokens, client: Arc::new(client) })
    }

    /// Gives the client a token for SASL OAUTHBEARER, which it does not request itself.
    async fn authenticate(&self) -> Result<(), TokenError> {
        let Some(tokens) = self.tokens.clone() else { return Ok(()) };
        let client = self.client.clone();
        let given = tokio::task::spawn_blocking(move || {
            tokens.authenticate(client.inner(), ANSWER_TIMEOUT)
        });
        // The task fails only if the runtime shuts down.
        given.await.unwrap_or_else(|error| Err(TokenError::Unusable(error.to_string())))
    }

    /// Creates the topic with the brokers' default replication if it is missing. Resolves when every
    /// partition has a leader. If the topic exists, the permission to create it is not needed.
    pub async fn ensure(&self, topic: NewTopic<'_>) -> Result<TopicState, Error> {
        let target = Target { brokers: &self.brokers, topic: topic.name };
        self.authenticate().await.map_err(|error| target.without_token(&error))?;
        let replication = TopicReplication::Fixed(REPLICATION_DEFAULT);
        let mut wanted = admin::NewTopic::new(topic.name, topic.partitions, replication);
        for (name, value) in topic.settings {
            wanted = wanted.set(name, value);
        }
        let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
        let response = self.client.create_topics([&wanted], &options).await;
        let created = response.map_err(|error| target.error(&error))?;
        let state = match created.into_iter().next() {
            Some(Ok(_)) => TopicState::Created,
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => TopicState::Exists,
            Some(Err((_, code))) if is_denied(code) => {
                let refused = target.error(&KafkaError::AdminOp(code));
                // The topic may exist nevertheless.
                return target
                    .wait_until_ready(&self.client)
                    .await
                    .map_err(|_| refused)
                    .map(|()| TopicState::Exists);
            }
            Some(Err((_, code))) => return Err(target.error(&KafkaError::AdminOp(code))),
            None => return Err(target.error(&KafkaError::NoMessageReceived)),
        };
        target.wait_until_ready(&self.client).await?;
        Ok(state)
    }

    /// The limit of the topic for a record batch, in bytes as the broker receives it
    /// (`max.message.bytes`); `None` if this client cannot read the setting.
    pub async fn record_bytes_max(&self, topic: &str) -> Option<u64> {
        if let Err(error) = self.authenticate().await {
            return unknown_record_bytes(topic, &error);
        }
        let options = AdminOptions::new().request_timeout(Some(ANSWER_TIMEOUT));
        let topics = [&ResourceSpecifier::Topic(topic)];
        let described = self.client.describe_configs(topics, &options).await;
        let resource = match described.map(|all| all.into_iter().next()) {
            Ok(Some(Ok(resource))) => resource,
            Ok(Some(Err(code))) => return unknown_record_bytes(topic, &code),
            Ok(None) => return None,
            Err(error) => return unknown_record_bytes(topic, &error),
        };
        let value = resource.get(RECORD_BYTES)?.value.as_deref();
        value.and_then(|value| value.parse().ok())
    }
}

/// Logs why the limit is not known. That is not an error.
fn unknown_record_bytes(topic: &str, error: &dyn std::fmt::Display) -> Option<u64> {
    tracing::warn!(topic, %error, "the topic's {RECORD_BYTES} is not known and not checked");
    None
}

/// Whether the client has no permission to create topics.
fn is_denied(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::ClusterAuthorizationFailed
    )
}

/// The topic and its brokers, for errors.
struct Target<'a> {
    brokers: &'a str,
    topic: &'a str,
}

impl Target<'_> {
    async fn wait_until_ready(&self, admin: &Arc<AdminClient<Reachability>>) -> Result<(), Error> {
        let admin = admin.clone();
        let topic = self.topic.to_owned();
        let ready = tokio::task::spawn_blocking(move || {
            let deadline = Instant::now() + READY_DEADLINE;
            loop {
                match has_leaders(&admin, &topic) {
                    Ok(true) => return Ok(()),
                    Err(error) if Instant::now() >= deadline => return Err(error),
                    Ok(false) if Instant::now() >= deadline => {
                        return Err(KafkaError::MetadataFetch(
                            RDKafkaErrorCode::LeaderNotAvailable,
                        ));
                    }
                    _ => std::thread::sleep(READY_INTERVAL),
                }
            }
        });
        match ready.await {
            Ok(ready) => ready.map_err(|error| self.error(&error)),
            Err(_) => Err(self.error(&KafkaError::Canceled)),
        }
    }

    fn error(&self, error: &KafkaError) -> Error {
        let (KafkaError::AdminOp(code) | KafkaError::MetadataFetch(code)) = error else {
            return self.topic_error(error.to_string(), false);
        };
        let retriable = matches!(
            code,
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
        );
        self.topic_error(error.to_string(), retriable)
    }

    fn without_token(&self, error: &TokenError) -> Error {
        self.topic_error(error.to_string(), error.is_retriable())
    }

    fn topic_error(&self, reason: String, retriable: bool) -> Error {
        Error::Topic { topic: self.topic.into(), brokers: self.brokers.into(), reason, retriable }
    }
}

fn has_leaders(admin: &AdminClient<Reachability>, topic: &str) -> Result<bool, KafkaError> {
    let metadata = admin.inner().fetch_metadata(Some(topic), ANSWER_TIMEOUT)?;
    let found = metadata.topics().first();
    Ok(found.is_some_and(|topic| {
        let partitions = topic.partitions();
        topic.error().is_none()
            && !partitions.is_empty()
            && partitions.iter().all(|partition| partition.leader() >= 0)
    }))
}
