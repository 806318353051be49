//! Brokers with TLS and authentication: the permissions in the Kubernetes manifests are sufficient
//! for writer, aggregator and audit.

use host_producer::{NewTopic, OutgoingRecord, Producer, ProducerConfig, ensure_topic};
use intake::grpc;
use pipeline_tests::{Client, Deployment, Store, doorbuster, eventually, root};
use product_sale::{Message as _, ProductSaleRequest};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use sale::Sale;
use serde_json::Value;
use test_servers::{
    Kafka, KafkaConfig, Listener, Security, ValkeyConfig, WAIT_LIMIT, start_valkey,
};

use crate::audit::{Audit, operator};

const ACL_TOOL: &str = "org.apache.kafka.tools.AclCommand";
const USERS: [(&str, &str); 3] =
    [("writer", "writers-secret"), ("aggregator", "counters-secret"), ("audit", "auditors-secret")];
const SALE: &str = r#"{"categoria":4,"producto_id":"rimel","precio":9.5,"cantidad_vendida":2}"#;

/// The Kafka users of the manifests.
fn kafka_users() -> Vec<Value> {
    let files = ["k8s/base/kafka/users.yaml", "k8s/components/audit/user.yaml"];
    let users = files.iter().flat_map(|file| {
        let text = std::fs::read_to_string(root().join(file)).unwrap();
        serde_saphyr::from_multiple::<Value>(&text).unwrap()
    });
    users.collect()
}

/// The permissions of a user, as arguments of Kafka's tool.
fn rights(user: &Value) -> Vec<Vec<String>> {
    let name = user["metadata"]["name"].as_str().unwrap();
    let rules = user["spec"]["authorization"]["acls"].as_array().unwrap();
    let right = |rule: &Value| {
        let resource = &rule["resource"];
        assert_eq!(resource["patternType"], "literal");
        let kind = format!("--{}", resource["type"].as_str().unwrap());
        let mut args = vec!["--add".into(), "--allow-principal".into(), format!("User:{name}")];
        args.extend([kind, resource["name"].as_str().unwrap().into()]);
        for operation in rule["operations"].as_array().unwrap() {
            args.extend(["--operation".into(), operation.as_str().unwrap().into()]);
        }
        args
    };
    rules.iter().map(right).collect()
}

/// The arguments of the audit in the manifests, with these addresses.
fn audit_args(private_valkey: &str, operator: &str) -> Vec<String> {
    let file = root().join("k8s/components/audit/deployment.yaml");
    let text = std::fs::read_to_string(file).unwrap();
    let deployment: Value = serde_saphyr::from_str(&text).unwrap();
    let args = &deployment["spec"]["template"]["spec"]["containers"][0]["args"];
    let args = args.as_array().unwrap().iter().map(|arg| arg.as_str().unwrap());
    let args = args.map(|arg| match arg {
        "redis://127.0.0.1:6379" => private_valkey,
        "0.0.0.0:9464" => operator,
        other => other,
    });
    args.map(str::to_owned).collect()
}

fn message() -> Vec<u8> {
    let sale = Sale::from_request_json(SALE.as_bytes()).unwrap();
    grpc::frame(&ProductSaleRequest::from(sale).encode_to_vec())
}

async fn kafka() -> (Kafka, String) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let security = Security {
        users: USERS.map(|(name, password)| (name.into(), password.into())).into(),
        authority: cert.pem(),
        certificate: cert.pem(),
        key: signing_key.serialize_pem(),
    };
    let config = KafkaConfig { security: Some(security), ..KafkaConfig::default() };
    let kafka = Kafka::start(config).await.unwrap();
    for right in kafka_users().iter().flat_map(rights) {
        let right: Vec<&str> = right.iter().map(String::as_str).collect();
        kafka.tool(ACL_TOOL, &right).await.unwrap();
    }
    (kafka, cert.pem())
}

#[tokio::test]
async fn the_rights_of_the_manifests_are_enough() {
    let (kafka, certificate) = kafka().await;
    let everything = ProducerConfig::new(kafka.bootstrap());
    for (topic, partitions) in [("sales-topic", 3), ("sales-topic.dead-letter", 1)] {
        ensure_topic(&everything, NewTopic::new(topic, partitions)).await.unwrap();
    }
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let variable = |name: &str, value: &str| (format!("SPIN_VARIABLE_{name}"), value.to_owned());
    let deployment = |(user, password): (&str, &str)| Deployment {
        reference: root().join("spin.toml").display().to_string(),
        env: vec![
            variable("KAFKA_BROKERS", &kafka.listener(Listener::SaslTls).unwrap()),
            variable("KAFKA_SECURITY", "sasl_ssl"),
            variable("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            variable("KAFKA_USERNAME", user),
            variable("KAFKA_PASSWORD", password),
            variable("KAFKA_CA", &certificate),
            variable("VALKEY_URL", &valkey.url()),
        ],
    };
    let [writer, aggregator, audit] = USERS.map(deployment);
    let writer = writer.start("writer", &[]).await.unwrap();
    let aggregator = aggregator.start("aggregator", &[]).await.unwrap();

    let answer = Client::new(&writer.url).grpc(grpc::METHOD_PATH, message()).await.unwrap();
    assert_eq!(answer.trailers["grpc-status"], "0", "{}", writer.log());
    let store = Store::connect(&valkey.url()).await.unwrap();
    eventually("the sale is counted", async || (store.total().await == 1).then_some(())).await;

    // The aggregator rejects a record that is not a sale, which needs the permission to write dead
    // letters.
    let producer = Producer::new(everything).unwrap();
    let record = |value: &[u8]| OutgoingRecord {
        topic: "sales-topic".into(),
        key: None,
        value: Some(value.to_vec()),
        ..OutgoingRecord::default()
    };
    producer.send(vec![record(b"no sale"), record(SALE.as_bytes())]).await.unwrap();
    producer.flush(WAIT_LIMIT).await.unwrap();
    eventually("the next is counted", async || (store.total().await == 2).then_some(())).await;
    let letters = format!("{}/metrics", aggregator.url);
    let metric = "spin_kafka_dead_letters_total";
    eventually("the letter is written", async || {
        let metrics = reqwest::get(&letters).await.ok()?.text().await.ok()?;
        let line = metrics.lines().find(|line| line.starts_with(metric))?.to_owned();
        line.ends_with(" 1").then_some(())
    })
    .await;
    assert!(!aggregator.log().contains("could not be checked"), "{}", aggregator.log());
    let private = start_valkey(ValkeyConfig::default()).await.unwrap();
    let operator = operator();
    let mut command = doorbuster();
    command.args(audit_args(&private.url(), &operator.to_string())).envs(audit.env);
    command.env("DOORBUSTER_APPLICATION", audit.reference);
    let audit = Audit::spawn(command, operator);
    audit.until("doorbuster_audit_last_pass_seconds", |time| time > 0.0).await;
    assert_eq!(audit.metric("doorbuster_audit_differences").await, Some(0.0), "{}", audit.log());
    assert!(audit.metric("doorbuster_audit_values_total").await > Some(0.0));
    let audited = audit.log();
    for (_, password) in USERS {
        assert!(!(writer.log() + &aggregator.log() + &audited).contains(password));
    }
    writer.stop().await.unwrap();
    aggregator.stop().await.unwrap();
}
