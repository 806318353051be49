//! Reads the settings of a topic from Kafka.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;

use crate::topic_settings::TopicSettings;
use crate::{Error, Warning, contact};

/// Maximum time for the brokers to return the topic's settings.
const SETTINGS_LIMIT: Duration = Duration::from_secs(10);
/// Maximum time for the whole check. A client cannot be closed while it looks up a host name.
const CHECK_LIMIT: Duration = Duration::from_secs(25);

/// The mechanism for which this check has no tokens.
const TOKENS: &str = "OAUTHBEARER";
const NO_TOKEN: &str = "This check knows no tokens for OAUTHBEARER: look at the topic by hand";

/// Reads the settings of the topic, and returns a warning for each one that can break the
/// guarantee. `client` contains additional librdkafka properties, such as those for SASL and TLS.
///
/// Requires the permission to describe the topic. Without the permission to describe its
/// configuration, one warning lists the settings that are not known. The same warning is returned
/// for SASL OAUTHBEARER, for which no request is sent, because the admin client of `rdkafka` cannot
/// use tokens. librdkafka's mock broker never answers the request for the configuration.
pub async fn check_topic(
    brokers: &str,
    client: &BTreeMap<String, String>,
    topic: &str,
) -> Result<Vec<Warning>, Error> {
    if needs_token(client) {
        let not_known = TopicSettings::default().warnings().into_iter();
        return Ok(not_known.map(|not_known| not_known.with_remedy(NO_TOKEN)).collect());
    }
    Ok(off_thread(brokers, client, topic, ask).await?.warnings())
}

/// Checks that the topic exists and may be described. With SASL OAUTHBEARER, no request is sent.
pub async fn check_topic_exists(
    brokers: &str,
    client: &BTreeMap<String, String>,
    topic: &str,
) -> Result<(), Error> {
    if needs_token(client) {
        return Ok(());
    }
    off_thread(brokers, client, topic, replicas).await.map(drop)
}

/// Runs on a thread of its own, because librdkafka blocks, also when a client is closed.
async fn off_thread<T: Send + 'static>(
    brokers: &str,
    client: &BTreeMap<String, String>,
    topic: &str,
    ask: fn(&ClientConfig, &str, &str) -> Result<T, Error>,
) -> Result<T, Error> {
    if brokers.trim().is_empty() {
        let reason = "give at least one `host:port`".into();
        return Err(Error::Config { setting: "brokers".into(), reason });
    }
    let native = native(brokers, client);
    let place = format!("topic `{topic}` at {brokers}");
    let topic = topic.to_owned();
    let asked = tokio::task::spawn_blocking({
        let place = place.clone();
        move || ask(&native, &place, &topic)
    });
    match tokio::time::timeout(CHECK_LIMIT, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => Err(Error::unreachable(&place, error)),
        Err(_) => Err(Error::unreachable(&place, format!("nothing came in {CHECK_LIMIT:?}"))),
    }
}

fn needs_token(client: &BTreeMap<String, String>) -> bool {
    let mechanisms = ["sasl.mechanism", "sasl.mechanisms"];
    let mut mechanisms = mechanisms.iter().filter_map(|name| client.get(*name));
    mechanisms.any(|mechanism| mechanism.eq_ignore_ascii_case(TOKENS))
}

fn native(brokers: &str, client: &BTreeMap<String, String>) -> ClientConfig {
    let mut native = ClientConfig::new();
    for (name, value) in client {
        native.set(name, value);
    }
    // The request must not create the topic.
    native.set("bootstrap.servers", brokers.trim()).set("allow.auto.create.topics", "false");
    native
}

fn ask(native: &ClientConfig, place: &str, topic: &str) -> Result<TopicSettings, Error> {
    let replicas = replicas(native, place, topic)?;
    let resource = describe(native, place, topic)?;
    let value = |name: &str| resource.as_ref()?.get(name)?.value.as_deref();
    Ok(TopicSettings::new(replicas, value))
}

/// The minimum number of replicas of the topic's partitions. Fails if the topic does not exist.
fn replicas(native: &ClientConfig, place: &str, topic: &str) -> Result<Option<usize>, Error> {
    fewest_replicas(&contact::metadata(native, place, topic)?, place)
}

/// The minimum number of replicas of a partition.
fn fewest_replicas(metadata: &Metadata, place: &str) -> Result<Option<usize>, Error> {
    let Some(topic) = metadata.topics().first() else { return Ok(None) };
    match topic.error().map(Code::from) {
        None => Ok(topic.partitions().iter().map(|partition| partition.replicas().len()).min()),
        Some(code @ Code::LeaderNotAvailable) => Err(Error::unreachable(place, code)),
        Some(code) => {
            let remedy = "Check its name, create it, or grant this user Describe on it";
            Err(Error::refused(place, code, remedy))
        }
    }
}

/// The topic's settings. None if this user may not read them, or the brokers do not support it.
fn describe(
    native: &ClientConfig,
    place: &str,
    topic: &str,
) -> Result<Option<ConfigResource>, Error> {
    let admin: AdminClient<DefaultClientContext> =
        native.create().map_err(|error| Error::client(&error))?;
    let options = AdminOptions::new().request_timeout(Some(SETTINGS_LIMIT));
    let topic = ResourceSpecifier::Topic(topic);
    let described = admin.describe_configs([&topic], &options);
    match futures::executor::block_on(described) {
        Ok(resources) => Ok(resources.into_iter().flatten().next()),
        Err(error) if is_silence(&error) => Err(Error::unreachable(place, error)),
        Err(error) => {
            tracing::debug!(%error, "the topic's settings are not told");
            Ok(None)
        }
    }
}

fn is_silence(error: &KafkaError) -> bool {
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
