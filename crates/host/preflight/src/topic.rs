//! Reads the settings of a topic from Kafka.

use std::time::Duration;

use kafka_client::{ClientProperties, ClientSettings, Secret, oauth};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;

use crate::contact::{self, ConnectionErrors};
use crate::topic_settings::TopicSettings;
use crate::{Error, Warning};

/// Maximum time for the brokers to return the topic's settings.
const SETTINGS_LIMIT: Duration = Duration::from_secs(10);
/// Maximum time for the whole check. A client cannot be closed while it looks up a host name.
const CHECK_LIMIT: Duration = Duration::from_secs(25);

const NO_TOKEN: &str = "This check cannot use OAUTHBEARER: check the topic's settings by hand";

/// Reads the settings of the topic, and returns a warning for each one that can break the
/// guarantee. `client` contains additional librdkafka properties, such as those for SASL and TLS.
///
/// Requires the permission to describe the topic. Without the permission to describe its
/// configuration, one warning lists the settings that are not known. The same warning is returned
/// for SASL OAUTHBEARER, for which no request is sent, because the admin client of `rdkafka` cannot
/// use tokens. librdkafka's mock broker never answers the request for the configuration.
pub async fn check_topic(
    brokers: &str,
    client: &ClientProperties,
    topic: &str,
) -> Result<Vec<Warning>, Error> {
    if needs_token(client) {
        let not_known = TopicSettings::default().warnings().into_iter();
        return Ok(not_known.map(|not_known| not_known.with_remedy(NO_TOKEN)).collect());
    }
    Ok(off_thread(brokers, client, topic, read).await?.warnings())
}

/// Checks that the topic exists and may be described. With SASL OAUTHBEARER, no request is sent.
pub async fn check_topic_exists(
    brokers: &str,
    client: &ClientProperties,
    topic: &str,
) -> Result<(), Error> {
    if needs_token(client) {
        return Ok(());
    }
    off_thread(brokers, client, topic, replicas).await.map(drop)
}

/// Runs `request` on another thread, because librdkafka blocks, also when a client is closed.
async fn off_thread<T: Send + 'static>(
    brokers: &str,
    client: &ClientProperties,
    topic: &str,
    request: fn(&ClientSettings, &str, &str) -> Result<T, Error>,
) -> Result<T, Error> {
    if brokers.trim().is_empty() {
        let reason = "give at least one `host:port`".into();
        return Err(Error::Config { setting: "brokers".into(), reason });
    }
    let mut settings = ClientSettings::new(brokers, client);
    // The request must not create the topic.
    settings.set("allow.auto.create.topics", "false");
    let server = format!("topic `{topic}` at {brokers}");
    let topic = topic.to_owned();
    let response = tokio::task::spawn_blocking({
        let server = server.clone();
        move || request(&settings, &server, &topic)
    });
    match tokio::time::timeout(CHECK_LIMIT, response).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => Err(Error::unreachable(&server, error)),
        Err(_) => Err(Error::unreachable(&server, format!("no answer in {CHECK_LIMIT:?}"))),
    }
}

fn needs_token(client: &ClientProperties) -> bool {
    ["sasl.mechanism", "sasl.mechanisms"].iter().any(|name| {
        let mechanism = client.get(name).map(Secret::expose);
        mechanism.is_some_and(|mechanism| mechanism.eq_ignore_ascii_case(oauth::MECHANISM))
    })
}

fn read(settings: &ClientSettings, server: &str, topic: &str) -> Result<TopicSettings, Error> {
    let replicas = replicas(settings, server, topic)?;
    let resource = describe(settings, server, topic)?;
    let value = |name: &str| resource.as_ref()?.get(name)?.value.as_deref();
    Ok(TopicSettings::new(replicas, value))
}

/// The minimum number of replicas of the topic's partitions. Fails if the topic does not exist.
fn replicas(settings: &ClientSettings, server: &str, topic: &str) -> Result<Option<usize>, Error> {
    fewest_replicas(&contact::metadata(settings, server, topic)?, server)
}

/// The minimum number of replicas of a partition.
fn fewest_replicas(metadata: &Metadata, server: &str) -> Result<Option<usize>, Error> {
    let Some(topic) = metadata.topics().first() else { return Ok(None) };
    match topic.error().map(Code::from) {
        None => Ok(topic.partitions().iter().map(|partition| partition.replicas().len()).min()),
        Some(code @ Code::LeaderNotAvailable) => Err(Error::unreachable(server, code)),
        Some(code) => {
            let remedy = "Check its name, create it, or grant this user Describe on it";
            Err(Error::refused(server, code, remedy))
        }
    }
}

/// The topic's settings. None if this user may not read them, or the brokers do not support it.
fn describe(
    settings: &ClientSettings,
    server: &str,
    topic: &str,
) -> Result<Option<ConfigResource>, Error> {
    let admin: AdminClient<ConnectionErrors> = settings.create(ConnectionErrors::default())?;
    let options = AdminOptions::new().request_timeout(Some(SETTINGS_LIMIT));
    let topic = ResourceSpecifier::Topic(topic);
    let described = admin.describe_configs([&topic], &options);
    match futures::executor::block_on(described) {
        Ok(resources) => Ok(resources.into_iter().flatten().next()),
        Err(error) if is_timeout(&error) => Err(Error::unreachable(server, error)),
        Err(error) => {
            tracing::debug!(%error, "the brokers do not report the topic's settings");
            Ok(None)
        }
    }
}

fn is_timeout(error: &KafkaError) -> bool {
    matches!(
        error,
        KafkaError::AdminOp(
            Code::AllBrokersDown
                | Code::BrokerTransportFailure
                | Code::OperationTimedOut
                | Code::RequestTimedOut
        )
    )
}
