//! Reads the settings of a topic from Kafka.

use std::time::Duration;

use kafka_client::{ClientProperties, ClientSettings, Secret, TokenSource, oauth};
use rdkafka::admin::{AdminClient, AdminOptions, ConfigResource, ResourceSpecifier};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::metadata::Metadata;

use crate::contact::{ConnectionErrors, Contact};
use crate::topic_settings::TopicSettings;
use crate::{Error, Warning};

/// Maximum time for the brokers to return the topic's settings.
const SETTINGS_LIMIT: Duration = Duration::from_secs(10);
/// Maximum time for the whole check. A client cannot be closed while it looks up a host name.
const CHECK_LIMIT: Duration = Duration::from_secs(25);

const NO_TOKEN: &str = "This check has no token for OAUTHBEARER (see `oauth` and `oauth_token`): \
                        check the topic's settings by hand";

/// The brokers of a topic, and how to connect to them.
#[derive(Debug, Clone, Default)]
pub struct Cluster {
    /// Bootstrap brokers, `host:port`, separated by commas.
    pub brokers: String,
    /// Further librdkafka properties, such as those for SASL and TLS.
    pub client: ClientProperties,
    /// The source of tokens for SASL OAUTHBEARER.
    pub tokens: Option<TokenSource>,
}

/// Reads the settings of the topic, and returns a warning for each one that can break the
/// guarantee.
///
/// Requires the permission to describe the topic. Without the permission to describe its
/// configuration, one warning lists the settings that are not known. The same warning is returned
/// for SASL OAUTHBEARER without a source of tokens, for which no request is sent. librdkafka's mock
/// broker never answers the request for the configuration.
pub async fn check_topic(cluster: &Cluster, topic: &str) -> Result<Vec<Warning>, Error> {
    if cluster.needs_token() {
        let not_known = TopicSettings::default().warnings().into_iter();
        return Ok(not_known.map(|not_known| not_known.with_remedy(NO_TOKEN)).collect());
    }
    Ok(off_thread(cluster, topic, read).await?.warnings())
}

/// Checks that the topic exists and may be described. With SASL OAUTHBEARER and no source of
/// tokens, no request is sent.
pub async fn check_topic_exists(cluster: &Cluster, topic: &str) -> Result<(), Error> {
    if cluster.needs_token() {
        return Ok(());
    }
    off_thread(cluster, topic, replicas).await.map(drop)
}

impl Cluster {
    /// Whether the brokers require a token that only librdkafka itself could create.
    fn needs_token(&self) -> bool {
        self.tokens.is_none()
            && ["sasl.mechanism", "sasl.mechanisms"].iter().any(|name| {
                let mechanism = self.client.get(name).map(Secret::expose);
                mechanism.is_some_and(|mechanism| mechanism.eq_ignore_ascii_case(oauth::MECHANISM))
            })
    }
}

/// Runs `request` on another thread, because librdkafka blocks, also when a client is closed.
async fn off_thread<T: Send + 'static>(
    cluster: &Cluster,
    topic: &str,
    request: fn(&Contact, &str) -> Result<T, Error>,
) -> Result<T, Error> {
    let Cluster { brokers, client, tokens } = cluster;
    if brokers.trim().is_empty() {
        let reason = "give at least one `host:port`".into();
        return Err(Error::Config { setting: "brokers".into(), reason });
    }
    let mut settings = ClientSettings::new(brokers, client);
    // The request must not create the topic.
    settings.set_tokens(tokens.as_ref()).set("allow.auto.create.topics", "false");
    let server = format!("topic `{topic}` at {brokers}");
    let topic = topic.to_owned();
    let response = tokio::task::spawn_blocking({
        let contact = Contact { settings, tokens: tokens.clone(), server: server.clone() };
        move || request(&contact, &topic)
    });
    match tokio::time::timeout(CHECK_LIMIT, response).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => Err(Error::unreachable(&server, error)),
        Err(_) => Err(Error::unreachable(&server, format!("no answer in {CHECK_LIMIT:?}"))),
    }
}

fn read(contact: &Contact, topic: &str) -> Result<TopicSettings, Error> {
    let replicas = replicas(contact, topic)?;
    let resource = describe(contact, topic)?;
    let value = |name: &str| resource.as_ref()?.get(name)?.value.as_deref();
    Ok(TopicSettings::new(replicas, value))
}

/// The minimum number of replicas of the topic's partitions. Fails if the topic does not exist.
fn replicas(contact: &Contact, topic: &str) -> Result<Option<usize>, Error> {
    fewest_replicas(&contact.metadata(topic)?, &contact.server)
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
fn describe(contact: &Contact, topic: &str) -> Result<Option<ConfigResource>, Error> {
    let server = &contact.server;
    let admin: AdminClient<ConnectionErrors> =
        contact.settings.create(ConnectionErrors::default())?;
    contact.authenticate(admin.inner())?;
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
