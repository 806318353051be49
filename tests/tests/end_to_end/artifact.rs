//! The application as an artifact of a registry, with each component run as a separate application,
//! as on a cluster.

use std::path::PathBuf;
use std::process::Output;

use pipeline_tests::{Client, Deployment, Launch, Pipeline, Store, doorbuster, eventually};
use tempfile::TempDir;
use test_servers::{Kafka, KafkaConfig, Registry, ValkeyConfig, start_valkey};
use tokio::net::TcpListener;

/// A registry that requires credentials, and a Docker configuration with them.
struct Shop {
    registry: Registry,
    docker: TempDir,
}

impl Shop {
    async fn open() -> Self {
        let registry = Registry::start(true).await.unwrap();
        let shop = Self { registry, docker: TempDir::new().unwrap() };
        shop.log_in(Registry::PASSWORD);
        shop
    }

    fn log_in(&self, password: &str) {
        use base64::Engine as _;
        let login = format!("{}:{password}", Registry::USER);
        let login = base64::engine::general_purpose::STANDARD.encode(login);
        let config = serde_json::json!({"auths": {self.registry.address(): {"auth": login}}});
        std::fs::write(self.docker.path().join("config.json"), config.to_string()).unwrap();
    }

    fn reference(&self) -> String {
        format!("{}/team/doorbuster:1.0", self.registry.address())
    }

    fn docker_config(&self) -> (String, String) {
        ("DOCKER_CONFIG".into(), self.docker.path().display().to_string())
    }

    async fn push(&self, reference: &str) -> Output {
        let mut command = doorbuster();
        command.args(["push", reference]).envs([self.docker_config()]);
        command.output().await.unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn get(url: &str, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("{url}{path}")).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

const SALE: &str = r#"{"categoria":4,"producto_id":"rimel","precio":9.5,"cantidad_vendida":2}"#;

#[tokio::test]
async fn four_applications_of_one_artifact_count_a_sale() {
    let shop = Shop::open().await;
    let pushed = shop.push(&shop.reference()).await;
    assert!(pushed.status.success(), "{}", text(&pushed.stderr));
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let variable = |name: &str, value: String| (format!("SPIN_VARIABLE_{name}"), value);
    let servers =
        vec![variable("KAFKA_BROKERS", kafka.bootstrap()), variable("VALKEY_URL", valkey.url())];
    let env = [vec![shop.docker_config()], servers].concat();
    let with_servers = Deployment { reference: shop.reference(), env };
    let deployment = Deployment { env: vec![shop.docker_config()], ..with_servers.clone() };
    let aggregator = with_servers.start("aggregator", &[]).await.unwrap();
    let writer = with_servers.start("writer", &[]).await.unwrap();
    let to_writer = [("SPIN_VARIABLE_WRITER_URL", writer.url.as_str())];
    let bridge = deployment.start("bridge", &to_writer).await.unwrap();
    let to_bridge = [("SPIN_VARIABLE_BRIDGE_URL", bridge.url.as_str())];
    let to_bridge = [to_bridge[0], ("DOORBUSTER_LINGER_S", "5")];
    let ingest = deployment.start("ingest", &to_bridge).await.unwrap();

    for application in [&ingest, &bridge, &writer, &aggregator] {
        let (status, _) = get(&application.url, "/.well-known/spin/health").await;
        assert_eq!(status, 200, "{}", application.log());
    }
    let answer = Client::new(&ingest.url).post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 200, "{}", ingest.log());
    let store = Store::connect(&valkey.url()).await.unwrap();
    eventually("the sale is counted", async || (store.total().await == 1).then_some(())).await;
    // Each process runs only its component, and the one without HTTP serves the operator port
    // instead.
    let elsewhere = Client::new(&ingest.url).post("/forward", SALE).await.unwrap();
    assert_eq!(elsewhere.status, 404);
    let (_, metrics) = get(&aggregator.url, "/metrics").await;
    assert!(metrics.contains("spin_kafka_lag"), "{metrics}");
    // A component that uses no server does not check one.
    for application in [&ingest, &bridge] {
        assert!(!application.log().contains("WARN"), "{}", application.log());
    }
    // On Kubernetes, requests arrive until every node has been informed of the deletion of the pod.
    ingest.terminate().unwrap();
    let answer = Client::new(&ingest.url).post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 200, "{}", ingest.log());
    ingest.ended().await.unwrap();
    for application in [bridge, writer, aggregator] {
        application.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_signal_ends_a_program_that_is_still_starting() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let deployment = Deployment { reference: format!("{address}/doorbuster:1"), env: Vec::new() };
    let starting = deployment.begin("ingest").unwrap();
    let _pulling = silent.accept().await.unwrap();
    // If the default action of the signal ended the process, the exit code would not be 0.
    starting.stop().await.unwrap();
}

#[tokio::test]
async fn the_address_comes_from_the_url_of_the_store() {
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
    let mut launch = Launch::new("spin.toml", kafka.bootstrap(), valkey.url(), "sales-topic");
    launch.envs = vec![("SPIN_VARIABLE_VALKEY_ADDRESS".into(), "127.0.0.1:1".into())];
    let pipeline = Pipeline::launch(&launch).await.unwrap();
    let answer = pipeline.client().post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 200, "{}", pipeline.log());
    let store = pipeline.store().await.unwrap();
    eventually("the sale is counted", async || (store.total().await == 1).then_some(())).await;
    pipeline.stop().await.unwrap();
}

#[tokio::test]
async fn the_same_application_is_the_same_artifact() {
    let shop = Shop::open().await;
    let first = shop.push(&shop.reference()).await;
    let second = shop.push(&format!("{}/other:2.0", shop.registry.address())).await;
    let digest = |output: Output| {
        let printed = text(&output.stdout);
        printed.trim().rsplit_once('@').map(|(_, digest)| digest.to_owned()).unwrap()
    };
    let (first, second) = (digest(first), digest(second));
    assert!(first.starts_with("sha256:"), "{first}");
    assert_eq!(first, second);
}

#[tokio::test]
async fn faults_name_the_artifact_and_what_to_do() {
    let shop = Shop::open().await;
    let pushed = shop.push(&shop.reference()).await;
    assert!(pushed.status.success(), "{}", text(&pushed.stderr));
    let deployment = |reference: String| Deployment { reference, env: vec![shop.docker_config()] };
    let here = deployment(shop.reference());
    let cases: [(&Deployment, &str, &[&str]); 5] = [
        (
            &here,
            "ingress",
            &["no component `ingress`", "aggregator, bridge, dashboard, ingest, writer"],
        ),
        (&here, "aggregator", &["`kafka_brokers`", "SPIN_VARIABLE_KAFKA_BROKERS"]),
        (&here, "ingest", &["`ingest`", "bridge.spin.internal", "run it too"]),
        (&deployment(shop.reference() + "1"), "ingest", &["doorbuster:1.01", "manifest unknown"]),
        (&deployment("127.0.0.1:9/doorbuster:1".into()), "ingest", &["127.0.0.1:9/doorbuster:1"]),
    ];
    for (deployment, component, expected) in cases {
        let output = deployment.fails(component, &[]).await.unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{component}: {error}");
        for part in expected {
            assert!(error.to_lowercase().contains(&part.to_lowercase()), "{part}: {error}");
        }
    }
    shop.log_in("wrong");
    let output = here.fails("ingest", &[]).await.unwrap();
    let error = text(&output.stderr);
    assert!(error.contains("docker login") && !error.contains("wrong"), "{error}");
    let output = shop.push("doorbuster:1.0").await;
    assert!(text(&output.stderr).contains("REGISTRY/NAME"), "{}", text(&output.stderr));
}

#[tokio::test]
async fn an_image_contains_its_application() {
    let manifest: PathBuf = pipeline_tests::root().join("spin.toml");
    let env = vec![("DOORBUSTER_APPLICATION".into(), manifest.display().to_string())];
    let baked = Deployment { reference: "team/doorbuster:1".into(), env };
    let to_bridge = [("SPIN_VARIABLE_BRIDGE_URL", "http://127.0.0.1:9")];
    let ingest = baked.start("ingest", &to_bridge).await.unwrap();
    let answer = Client::new(&ingest.url).post("/purchase", SALE).await.unwrap();
    assert_eq!(answer.status, 503, "{}", answer.text());
    ingest.stop().await.unwrap();
}
