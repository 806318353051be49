//! One broker for all tests of the process. Some of its ports require authentication, and topics
//! are created when they are requested.

use std::sync::LazyLock;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use test_servers::{Kafka, KafkaConfig, Security};
use tokio::runtime::Runtime;

/// A user that may describe the topic `half-open`, but not its configuration.
pub const GUEST: &str = "guest";
pub const PASSWORD: &str = "guests-own-secret";

/// The broker; it ends with the process.
pub fn kafka() -> &'static Kafka {
    static SHARED: LazyLock<(Runtime, Kafka)> = LazyLock::new(|| {
        // Started on its own thread, because the first test already runs in a runtime.
        std::thread::spawn(start).join().unwrap()
    });
    &SHARED.1
}

fn start() -> (Runtime, Kafka) {
    let runtime = Runtime::new().unwrap();
    let config = KafkaConfig {
        security: Some(security()),
        properties: vec!["auto.create.topics.enable=true".into()],
        ..KafkaConfig::default()
    };
    let kafka = runtime.block_on(async {
        let kafka = Kafka::start(config).await.unwrap();
        let right = ["--add", "--allow-principal", "User:guest", "--operation", "Describe"];
        let args = [&right[..], &["--topic", "half-open"]].concat();
        kafka.tool("org.apache.kafka.tools.AclCommand", &args).await.unwrap();
        kafka
    });
    (runtime, kafka)
}

/// The user, and certificates, which no test uses but a broker with security requires.
fn security() -> Security {
    let mut params = named("authority", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = named("broker", &["127.0.0.1"]).signed_by(&key, &authority).unwrap();
    Security {
        users: vec![(GUEST.into(), PASSWORD.into())],
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    }
}

fn named(name: &str, hosts: &[&str]) -> CertificateParams {
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

/// Creates a topic with two partitions and these settings.
pub async fn create(topic: &str, settings: &[(&str, &str)]) {
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", kafka().bootstrap()).create().unwrap();
    let topic = NewTopic::new(topic, 2, TopicReplication::Fixed(1));
    let topic = settings.iter().fold(topic, |topic, (name, value)| topic.set(name, value));
    let created = admin.create_topics([&topic], &AdminOptions::new()).await.unwrap();
    created.into_iter().next().unwrap().unwrap();
}
