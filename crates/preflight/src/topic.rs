//! Asks Kafka how a topic is set.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;

use crate::topic_settings::TopicSettings;
use crate::{Error, Warning, contact};

/// How long the brokers may take to tell the topic's settings.
const SETTINGS_LIMIT: Duration = Duration::from_secs(10);
/// How long all of it may take. A client ends only when its look-up of a name does.
const CHECK_LIMIT: Duration = Duration::from_secs(25);

/// The mechanism whose tokens this check cannot provide.
const TOKENS: &str = "OAUTHBEARER";
const NO_TOKEN: &str = "This check knows no tokens for OAUTHBEARER: look at the topic by hand";

/// Asks how the topic is set, and answers a warning for each setting that cannot keep the
/// promise. `client` are further librdkafka properties, such as those of SASL and TLS.
///
/// Needs the right to describe the topic. Without the right to describe its settings, one
/// warning names those. So it does for SASL OAUTHBEARER, with which nothing is asked: the
/// admin client of `rdkafka` takes no tokens. librdkafka's own broker for tests never answers
/// a question for settings.
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

/// Asks whether the topic exists and may be described. With SASL OAUTHBEARER nothing is asked.
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

/// Asks the brokers on a thread of its own: librdkafka blocks, not least when a client ends.
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
    // To ask must not make a topic.
    native.set("bootstrap.servers", brokers.trim()).set("allow.auto.create.topics", "false");
    native
}

fn ask(native: &ClientConfig, place: &str, topic: &str) -> Result<TopicSettings, Error> {
    let replicas = replicas(native, place, topic)?;
    let resource = describe(native, place, topic)?;
    let value = |name: &str| resource.as_ref()?.get(name)?.value.as_deref();
    Ok(TopicSettings::new(replicas, value))
}

/// The smallest number of replicas of a partition of the topic, which must exist.
fn replicas(native: &ClientConfig, place: &str, topic: &str) -> Result<Option<usize>, Error> {
    fewest_replicas(&contact::metadata(native, place, topic)?, place)
}

/// The smallest number of replicas of a partition.
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

/// The topic's settings; none if this user may not see them, or the brokers cannot tell.
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
