//! Tests of the containerd shim and the container image with a real containerd. They need root, and
//! the shim's build dependencies, so only `cargo xtask test-containers` runs them.

mod container;
mod image;
mod own_image;
mod server;

use std::process::Command;

use host_producer::{NewTopic, ProducerConfig, ensure_topic};
use pipeline_tests::{Client, Store, eventually};
use test_servers::{Kafka, KafkaConfig, Valkey, ValkeyConfig, start_valkey};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;

use container::{Container, Node, free_address, output};

/// Environment variables of a container.
type Variables<'a> = &'a [(&'a str, &'a str)];

const SALE: &str = r#"{"categoria":1,"producto_id":"tv-42","precio":499.99,"cantidad_vendida":2}"#;

/// An application with two guests, one of which misbehaves.
const TWO: &str = r#"
spin_manifest_version = 2
[application]
name = "two"
[[trigger.http]]
route = "/..."
component = "misbehaves"
[component.misbehaves]
source = "misbehaves.wasm"
[[trigger.http]]
route = "/older"
component = "wasi-p2"
[component.wasi-p2]
source = "wasi_p2.wasm"
"#;

/// An application whose guest returns its variable.
const TELLING: &str = r#"
spin_manifest_version = 2
[application]
name = "telling"
[variables]
place = { default = "the manifest" }
[[trigger.http]]
route = "/..."
component = "calls-dependency"
[component.calls-dependency]
source = "calls_dependency.wasm"
variables = { address = "{{ place }}" }
environment = { only = "this" }
[component.calls-dependency.dependencies]
"tests:capabilities/probe" = { path = "probes_capabilities.wasm", inherit_configuration = true }
"#;

/// Imports `TWO` and runs it with these environment variables.
async fn two(node: &Node, variables: &[(&str, &str)]) -> (Container, Client) {
    node.import(&image::ordinary("test/two:1", &image::files(TWO, &["misbehaves", "wasi-p2"])))
        .unwrap();
    let address = free_address();
    let variables = [variables, &[("SPIN_HTTP_LISTEN_ADDR", &address)]].concat();
    let container = node.run("test/two:1", &variables, &["--net-host"]);
    let client = container.client(&address).await;
    (container, client)
}

/// The pipeline with real servers.
struct Pipeline {
    container: Container,
    client: Client,
    address: String,
    store: Store,
    _servers: (Kafka, Valkey),
}

impl Pipeline {
    async fn start(node: &Node) -> Self {
        let kafka = Kafka::start(KafkaConfig::default()).await.unwrap();
        let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
        let cluster = ProducerConfig::new(kafka.bootstrap());
        ensure_topic(&cluster, NewTopic::new("sales-topic", 3)).await.unwrap();
        node.import(&image::ordinary("test/shop:1", &image::files_of("spin.toml"))).unwrap();
        let (address, url) = (free_address(), valkey.url());
        let variables = [
            ("SPIN_HTTP_LISTEN_ADDR", address.as_str()),
            ("SPIN_VARIABLE_KAFKA_BROKERS", &kafka.bootstrap()),
            ("SPIN_VARIABLE_VALKEY_URL", &url),
            ("SPIN_VARIABLE_VALKEY_ADDRESS", url.trim_start_matches("redis://")),
        ];
        let container = node.run("test/shop:1", &variables, &["--net-host"]);
        let client = container.client(&address).await;
        let store = Store::connect(&url).await.unwrap();
        Self { container, client, address, store, _servers: (kafka, valkey) }
    }

    async fn counted(&self, sales: u64) {
        eventually(&format!("{sales} sales are counted"), async || {
            (self.store.total().await == sales).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sales_are_accepted_and_counted_and_sigterm_drains() {
    let shop = Pipeline::start(&Node::start(&[]).await).await;
    for _ in 0..20 {
        let answer = shop.client.post("/purchase", SALE).await.unwrap();
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), shop.container.log());
    }
    shop.counted(20).await;

    // The body of this request arrives after the signal.
    let mut late = TcpStream::connect(&shop.address).await.unwrap();
    let head = format!(
        "POST /purchase HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n\
         content-length: {}\r\nexpect: 100-continue\r\nconnection: close\r\n\r\n",
        SALE.len()
    );
    late.write_all(head.as_bytes()).await.unwrap();
    let mut begun = [0; 12];
    late.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 100");
    shop.container.signal("SIGTERM");
    eventually("new connections are refused", async || {
        TcpStream::connect(&shop.address).await.err().map(drop)
    })
    .await;
    late.write_all(SALE.as_bytes()).await.unwrap();
    let mut answer = String::new();
    late.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("HTTP/1.1 200") && answer.contains("Procesado"), "{answer}");

    let Pipeline { container, .. } = shop;
    let (code, log) = container.ended().await;
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("drained") && log.contains("left_group: true"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_over_its_limit_does_not_end_another() {
    let node = Node::start(&[]).await;
    let (container, client) = two(&node, &[("SPIN_MAX_INSTANCE_MEMORY", "16777216")]).await;
    for _ in 0..3 {
        assert_eq!(client.post("/grow", "").await.unwrap().status, 500);
        assert_eq!(client.post("/good", "").await.unwrap().status, 200);
        assert_eq!(client.post("/older", "echo").await.unwrap().text(), "echo");
    }
    container.signal("SIGKILL");
    assert_eq!(container.ended().await.0, 137);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_components_that_are_retained_run() {
    let node = Node::start(&[]).await;
    let (container, client) = two(&node, &[("SPIN_COMPONENTS_TO_RETAIN", "wasi-p2")]).await;
    assert_eq!(client.post("/older", "echo").await.unwrap().text(), "echo");
    assert_eq!(client.post("/good", "").await.unwrap().status, 404);
    container.signal("SIGTERM");
    assert_eq!(container.ended().await.0, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn variables_come_from_the_container_and_not_from_the_node() {
    let node = Node::start(&[
        ("SPIN_VARIABLE_PLACE", "the node"),
        ("SPIN_HTTP_LISTEN_ADDR", "127.0.0.1:1"),
        ("address", "the node"),
    ])
    .await;
    let files = image::files(TELLING, &["calls-dependency", "probes-capabilities"]);
    node.import(&image::ordinary("test/telling:1", &files)).unwrap();
    let config = tempfile::NamedTempFile::new().unwrap();
    let provider = "[[config_provider]]\ntype = \"env\"\nprefix = \"OTHER\"\n";
    std::fs::write(config.path(), provider).unwrap();
    let mount = format!(
        "type=bind,src={},dst=/runtime-config.toml,options=rbind:ro",
        config.path().display()
    );
    let cases: [(Variables, &[&str], &str); 3] = [
        (&[], &[], "the manifest"),
        (&[("SPIN_VARIABLE_PLACE", "the container")], &[], "the container"),
        (&[("OTHER_PLACE", "the file's prefix")], &["--mount", &mount], "the file's prefix"),
    ];
    for (variables, flags, expected) in cases {
        let address = free_address();
        let variables = [variables, &[("SPIN_HTTP_LISTEN_ADDR", &address)]].concat();
        let flags = [&["--net-host"], flags].concat();
        let container = node.run("test/telling:1", &variables, &flags);
        let client = container.client(&address).await;
        let text = client.post("/variables", "").await.unwrap().text();
        assert!(text.contains(expected), "{text}");
        let text = client.post("/environment", "").await.unwrap().text();
        assert!(text.contains("NotPresent"), "{text}");
        let environment = format!("/proc/{}/environ", container.pid().unwrap());
        let environment = std::fs::read_to_string(environment).unwrap();
        assert!(!environment.contains("the node"), "{environment}");
        container.signal("SIGTERM");
        assert_eq!(container.ended().await.0, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_appear_in_the_log_of_the_container() {
    let node = Node::start(&[]).await;
    let required = TELLING.replace("default = \"the manifest\"", "required = true");
    let files = image::files(&required, &["calls-dependency", "probes-capabilities"]);
    node.import(&image::ordinary("test/required:1", &files)).unwrap();
    node.import(&image::ordinary("test/empty:1", &vec![("a".into(), vec![])])).unwrap();
    let given = ("SPIN_VARIABLE_PLACE", "somewhere");
    let cases: [(&str, Variables, &str); 5] = [
        ("required", &[], "`place`"),
        ("required", &[("SPIN_HTTP_LISTEN_ADDR", "80")], "SPIN_HTTP_LISTEN_ADDR"),
        ("required", &[("SPIN_COMPONENTS_TO_RETAIN", "askr")], "`askr`"),
        ("required", &[given, ("SPIN_MAX_INSTANCE_MEMORY", "much")], "SPIN_MAX_INSTANCE_MEMORY"),
        ("empty", &[], "/spin.toml"),
    ];
    for (image, variables, expected) in cases {
        let container = node.run(&format!("test/{image}:1"), variables, &["--net-host"]);
        let (code, log) = container.ended().await;
        assert_eq!(code, 1, "{log}");
        assert!(log.contains("Error: ") && log.contains(expected), "{expected}: {log}");
    }
}

/// containerd 1.6 imports an artifact but cannot create a container of it; later versions can. So
/// the container is created from an image, which is then replaced by the artifact: the shim looks
/// it up by its name.
#[tokio::test(flavor = "multi_thread")]
async fn the_layers_of_an_artifact_are_an_application() {
    let node = Node::start(&[]).await;
    let files = image::files(TELLING, &["calls-dependency", "probes-capabilities"]);
    node.import(&image::ordinary("test/shape:1", &vec![("a".into(), vec![])])).unwrap();
    let address = free_address();
    let variables = [("SPIN_HTTP_LISTEN_ADDR", address.as_str())];
    let container = node.create_and_start("test/shape:1", &variables, || {
        // Depending on the version, unpacking the artifact may fail.
        let _ = node.import(&image::artifact("test/shape:1", &files));
    });
    let client = container.client(&address).await;
    let text = client.post("/variables", "").await.unwrap().text();
    assert!(text.contains("the manifest"), "{text}");
    container.signal("SIGTERM");
    assert_eq!(container.ended().await.0, 0);
}

/// In its own network namespace, with the usual restrictions of system calls.
#[tokio::test(flavor = "multi_thread")]
async fn the_default_port_is_80() {
    let node = Node::start(&[]).await;
    let files = image::files(TWO, &["misbehaves", "wasi-p2"]);
    node.import(&image::ordinary("test/two:1", &files)).unwrap();
    let container = node.run("test/two:1", &[], &["--seccomp"]);
    container.wait_for_log("0.0.0.0:80").await;
    let script = "ip link set lo up && python3 -c 'import urllib.request as r; \
                  print(r.urlopen(\"http://127.0.0.1/older\", b\"echo\").read())'";
    let mut inside = Command::new("nsenter");
    inside.args(["--net", "--target", &container.pid().unwrap(), "sh", "-c", script]);
    assert_eq!(output(&mut inside).unwrap().trim(), "b'echo'");
    container.signal("SIGINT");
    assert_eq!(container.ended().await.0, 0);
}

/// A component is a named pipe without a writer, so that the start blocks.
#[tokio::test(flavor = "multi_thread")]
async fn a_signal_during_the_start_ends_it() {
    let node = Node::start(&[]).await;
    let manifest = TWO.replace("misbehaves.wasm", "held/misbehaves.wasm");
    node.import(&image::ordinary("test/two:1", &image::files(&manifest, &["wasi-p2"]))).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("misbehaves.wasm");
    output(Command::new("mkfifo").arg(&path)).unwrap();
    let mount = format!("type=bind,src={},dst=/held,options=rbind:ro", folder.path().display());
    let container = node.run("test/two:1", &[], &["--net-host", "--mount", &mount]);
    // The writer can open the pipe once the start reads it; the start then waits for data.
    let _writer = eventually("the component is read", async || {
        pipe::OpenOptions::new().open_sender(&path).ok()
    })
    .await;
    container.signal("SIGTERM");
    let (code, log) = container.ended().await;
    assert_eq!(code, 0, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn containerd_gets_the_processor_time_and_the_memory_limit() {
    let node = Node::start(&[]).await;
    let files = image::files(TWO, &["misbehaves", "wasi-p2"]);
    node.import(&image::ordinary("test/two:1", &files)).unwrap();
    let address = free_address();
    let variables = [("SPIN_HTTP_LISTEN_ADDR", address.as_str())];
    let limit = 1_u64 << 30;
    let flags = ["--net-host", "--memory-limit", &limit.to_string()];
    let container = node.run("test/two:1", &variables, &flags);
    container.client(&address).await;
    // In units of 1/100 s. A part of it was used before the process entered its control group.
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", container.pid().unwrap())).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let used: u64 = fields[11..13].iter().map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    assert!(used > 0, "compiling its components takes longer");
    let metrics = container.metrics();
    let total = metrics["cpu"]["usage"]["total"].as_u64().unwrap();
    assert!(total >= used * 5_000_000, "{used} hundredths of a second: {metrics}");
    assert_eq!(metrics["memory"]["usage"]["limit"].as_u64(), Some(limit), "{metrics}");
    assert!(metrics["memory"]["usage"]["usage"].as_u64() > Some(0), "{metrics}");
    container.signal("SIGTERM");
    assert_eq!(container.ended().await.0, 0);
}
