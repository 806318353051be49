//! The producer on a real Kafka broker with authentication and authorization.

use std::sync::LazyLock;

use crate::support::{create, producer, record, run};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use test_servers::{Kafka, KafkaConfig, Listener, Security};
use tokio::runtime::Runtime;
use wasm_producer::{Config, Delivery, Mechanism, ProduceError, Sasl};

/// A user that may write to topics whose names begin with `open-`.
const WRITER: &str = "writer";

static BROKER: LazyLock<(Runtime, Kafka, String)> = LazyLock::new(|| {
    // Started on its own thread, because the first test already runs in a runtime.
    std::thread::spawn(start).join().unwrap()
});

fn start() -> (Runtime, Kafka, String) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    let password = format!("p-{:016x}", fastrand::u64(..));
    let security = Security {
        users: vec![(WRITER.into(), password.clone())],
        authority: authority.pem(),
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    };
    let config = KafkaConfig { security: Some(security), ..KafkaConfig::default() };
    let runtime = Runtime::new().unwrap();
    let kafka = runtime.block_on(async {
        let kafka = Kafka::start(config).await.unwrap();
        let rights = [
            "--add",
            "--allow-principal",
            "User:writer",
            "--resource-pattern-type",
            "prefixed",
            "--topic",
            "open-",
            "--operation",
            "Write",
        ];
        kafka.tool("org.apache.kafka.tools.AclCommand", &rights).await.unwrap();
        let rights = [
            "--add",
            "--allow-principal",
            "User:writer",
            "--topic",
            "seen-topic",
            "--operation",
            "Describe",
        ];
        kafka.tool("org.apache.kafka.tools.AclCommand", &rights).await.unwrap();
        create(&kafka, "seen-topic", 3, &[]).await;
        create(&kafka, "open-topic", 3, &[]).await;
        create(&kafka, "closed-topic", 3, &[]).await;
        kafka
    });
    (runtime, kafka, password)
}

fn config(mechanism: &str, password: &str) -> Config {
    let mechanism = Mechanism::parse(mechanism).unwrap();
    let sasl = Sasl { mechanism, username: WRITER.into(), password: password.into() };
    Config { sasl: Some(sasl), ..Config::new(BROKER.1.listener(Listener::Sasl).unwrap()) }
}

async fn send(config: Config, topic: &str) -> Result<Vec<Delivery>, ProduceError> {
    producer(config).send(vec![record(topic, "k", "v")]).await
}

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

#[test]
fn the_right_password_is_accepted() {
    run(async {
        for mechanism in MECHANISMS {
            let sent = send(config(mechanism, &BROKER.2), "open-topic").await;
            assert!(sent.is_ok(), "{mechanism}: {sent:?}");
        }
    });
}

#[test]
fn a_wrong_password_is_refused_and_not_shown() {
    run(async {
        for mechanism in MECHANISMS {
            let error = send(config(mechanism, "hunter2"), "open-topic").await;
            let Err(ProduceError::Refused(text)) = error else { panic!("{error:?}") };
            assert!(text.contains(mechanism) && text.contains("Authentication failed"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    });
}

#[test]
fn a_topic_without_permission_to_write_is_refused() {
    run(async {
        // The client may not describe the first topic, and may not write to the second.
        for topic in ["closed-topic", "seen-topic"] {
            let error = send(config("PLAIN", &BROKER.2), topic).await;
            let Err(ProduceError::Refused(text)) = error else { panic!("{error:?}") };
            assert!(text.contains(topic) && text.contains("authorization"), "{text}");
        }
    });
}

#[test]
fn sasl_at_a_listener_without_authentication_is_refused() {
    run(async {
        let config = Config { brokers: BROKER.1.bootstrap(), ..config("PLAIN", "hunter2") };
        let error = send(config, "open-topic").await;
        assert!(matches!(error, Err(ProduceError::Refused(_))), "{error:?}");
    });
}
