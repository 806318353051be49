//! The host and its guests: a guest that misbehaves affects only its own request.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use component_host::http::Server;
use component_host::output::Outputs;
use component_host::{Capability, ClientTls, CompileCache, Error, Host, Limits};
use pipeline_tests::{Client, root};
use spin_app::manifest;
use spin_app::variables::Variables;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "guest"
[[trigger.http]]
route = "/..."
component = "guest"
[component.guest]
source = "components/GUEST.wasm"
"#;

/// Serves the guest, and returns a client. The host runs as long as the server's task.
pub(super) async fn serve(guest: &str, limits: Limits) -> Client {
    serve_app(load(&MANIFEST.replace("GUEST", &guest.replace('-', "_")), &limits).unwrap(), limits)
        .await
}

/// Loads the application of a manifest.
pub(super) fn load(text: &str, limits: &Limits) -> Result<Host, Error> {
    load_with(text, limits, &[], &[])
}

/// The same, with interfaces that the program provides, and settings for TLS.
pub(super) fn load_with(
    text: &str,
    limits: &Limits,
    capabilities: &[Arc<dyn Capability>],
    client_tls: &[ClientTls],
) -> Result<Host, Error> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target")).unwrap();
    std::fs::write(file.path(), text).unwrap();
    let app = manifest::read(file.path())?;
    let variables = Variables::resolve(&app.variables, |_| None);
    let (outputs, cache) = (Outputs::default(), CompileCache::UserFolder);
    let limits = limits.clone();
    Host::load_with_tls(&app, &variables, limits, outputs, &cache, capabilities, client_tls)
}

pub(super) async fn serve_app(host: Host, limits: Limits) -> Client {
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(address, host.services(), Arc::new(limits)).await.unwrap();
    let client = Client::new(&format!("http://{}", server.address()));
    tokio::spawn(async move {
        let _host = host;
        server.run(Box::pin(std::future::pending()), Duration::ZERO).await
    });
    client
}

pub(super) fn limits() -> Limits {
    // The instances of many hosts in one process exceed what the kernel maps for it.
    Limits { instances_max: 20, instance_memory_bytes_max: 64 << 20, ..Limits::default() }
}

/// A time limit for requests that reach it. A busy machine answers all others sooner.
pub(super) fn short() -> Limits {
    Limits { request_timeout: Duration::from_secs(5), ..limits() }
}

async fn status(client: &Client, path: &str) -> u16 {
    let answer = client.post(path, "").await.unwrap();
    if answer.status != 200 {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn after_each_misbehaviour_the_next_request_is_served() {
    let client = serve("misbehaves", short()).await;
    for (path, expected) in
        [("/trap", 500), ("/loop", 504), ("/hang", 504), ("/grow", 500), ("/short", 500)]
    {
        assert_eq!(status(&client, path).await, expected, "{path}");
        assert_eq!(status(&client, "/good").await, 200, "after {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_denied() {
    let client = serve("misbehaves", limits()).await;
    let answer = client.post("/connect", "").await.unwrap();
    assert!(answer.text().contains("PermissionDenied"), "{}", answer.text());
    let answer = client.post("/fetch", "").await.unwrap();
    assert!(answer.text().contains("HttpRequestDenied"), "{}", answer.text());
}

/// `calls-dependency` calls `probes-capabilities`, which tries to use the given capability.
const WITH_DEPENDENCY: &str = r#"
spin_manifest_version = 2
[application]
name = "calls-dependency"
[[trigger.http]]
route = "/..."
component = "calls-dependency"
[component.calls-dependency]
source = "components/calls_dependency.wasm"
allowed_outbound_hosts = ["tcp://127.0.0.1:1", "http://127.0.0.1:1", "tcp://localhost:1"]
variables = { address = "the-variable" }
environment = { address = "the-environment" }
files = [{ source = "components/calls_dependency.wasm", destination = "/folder/file" }]
[component.calls-dependency.dependencies]
"tests:capabilities/probe" = { path = "components/probes_capabilities.wasm", inherit_configuration = INHERIT }
"#;

/// The result for each capability, with the permission and without it.
const SIGHTS: [(&str, &str, &str, &str); 9] = [
    ("variables", "variables", "the-variable", "Undefined"),
    ("environment", "environment", "the-environment", "NotPresent"),
    ("files", "files", "Ok(true)", "Err("),
    ("http", "allowed_outbound_hosts", "ConnectionRefused", "HttpRequestDenied"),
    ("socket", "allowed_outbound_hosts", "ConnectionRefused", "AccessDenied"),
    ("lookup", "allowed_outbound_hosts", "Ipv4", "AccessDenied"),
    ("std-socket", "allowed_outbound_hosts", "ConnectionRefused", "PermissionDenied"),
    ("std-udp", "allowed_outbound_hosts", "UdpSocket", "PermissionDenied"),
    ("std-lookup", "allowed_outbound_hosts", "true", "false"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_sees_what_it_inherits_and_nothing_else() {
    let rights = ["variables", "environment", "files", "allowed_outbound_hosts"];
    let one = rights.map(|right| (format!("[\"{right}\"]"), vec![right]));
    let cases = [("true".into(), rights.to_vec()), ("false".into(), vec![]), ("[]".into(), vec![])];
    for (inherit, inherited) in cases.into_iter().chain(one) {
        let host = load(&WITH_DEPENDENCY.replace("INHERIT", &inherit), &limits()).unwrap();
        let client = serve_app(host, limits()).await;
        for (thing, right, seen, denied) in SIGHTS {
            let answer = client.post(&format!("/{thing}"), "").await.unwrap().text();
            let expected = if inherited.contains(&right) { seen } else { denied };
            assert!(answer.contains(expected), "inherit {inherit}: {thing}: {answer}");
        }
    }
}

/// Both import WASI 0.3 sockets, but different functions of them.
#[tokio::test(flavor = "multi_thread")]
async fn several_dependencies_are_denied_side_by_side() {
    let manifest = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let inherit = ", inherit_configuration = [\"allowed_outbound_hosts\", \"variables\"]";
    let own = manifest.lines().filter(|line| !line.starts_with("provide = "));
    let own = own.collect::<Vec<_>>().join("\n");
    let denied = own.replace("target/components", "components").replace(inherit, "");
    let (front, back) = denied.split_once("[[trigger.kafka]]").unwrap();
    assert!(front.contains("kafka_producer.wasm") && back.contains("valkey.wasm"));
    load(&denied, &limits()).map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_is_refused_by_name() {
    let cases = [
        ("INHERIT", "[\"variabels\"]", "`variabels`"),
        ("tests:capabilities/probe", "tests:capabilities/prob", "tests:capabilities/probe@0.1.0"),
        (
            "components/probes_capabilities.wasm",
            "components/calls_dependency.wasm",
            "does not export",
        ),
        ("components/probes_capabilities.wasm", "components/missing.wasm", "missing.wasm"),
        ("INHERIT", "true, export = \"a:b/c\"", "`a:b/c`"),
    ];
    for (from, to, expected) in cases {
        let text = WITH_DEPENDENCY.replace(from, to).replace("INHERIT", "true");
        let fault = load(&text, &limits()).err().map(|error| error.to_string());
        assert!(fault.as_deref().is_some_and(|text| text.contains(expected)), "{to}: {fault:?}");
    }
}

/// Sends a request that is not answered before its deadline. It is sent again if it is refused
/// because another request is in progress.
fn hang(client: Arc<Client>) -> JoinHandle<u16> {
    tokio::spawn(async move {
        loop {
            match status(&client, "/hang").await {
                503 => tokio::task::yield_now().await,
                status => return status,
            }
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_over_the_limit_are_refused_temporarily() {
    let limits = Limits { requests_at_once_max: 2, ..short() };
    let client = Arc::new(serve("misbehaves", limits).await);
    let hanging = [hang(client.clone()), hang(client.clone())];
    let busy = pipeline_tests::eventually("the bound is reached", async || {
        let answer = client.post("/good", "").await.ok()?;
        (answer.status == 503).then_some(answer)
    })
    .await;
    assert_eq!(busy.header("retry-after"), "1");
    for hanging in hanging {
        assert_eq!(hanging.await.unwrap(), 504);
    }
    assert_eq!(status(&client, "/good").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_an_instance_are_refused_temporarily() {
    let limits = Limits { instances_max: 1, requests_at_once_per_instance_max: 1, ..short() };
    let client = Arc::new(serve("misbehaves", limits).await);
    let hanging = hang(client.clone());
    pipeline_tests::eventually("the only instance is taken", async || {
        (status(&client, "/good").await == 503).then_some(())
    })
    .await;
    assert_eq!(hanging.await.unwrap(), 504);
    pipeline_tests::eventually("its place is free again", async || {
        (status(&client, "/good").await == 200).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_cannot_take_the_instances_of_the_others() {
    const OTHER: &str = r#"
[[trigger.http]]
route = "/other"
component = "other"
[component.other]
source = "components/misbehaves.wasm"
"#;
    // Two components: each may have one instance.
    let limits = Limits { instances_max: 2, requests_at_once_per_instance_max: 1, ..short() };
    let manifest = MANIFEST.replace("GUEST", "misbehaves") + OTHER;
    let client = Arc::new(serve_app(load(&manifest, &limits).unwrap(), limits).await);
    let hanging = hang(client.clone());
    pipeline_tests::eventually("the component has as many instances as it may", async || {
        (status(&client, "/good").await == 503).then_some(())
    })
    .await;
    assert_eq!(status(&client, "/other").await, 200);
    assert_eq!(hanging.await.unwrap(), 504);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_requests_share_few_instances() {
    const REQUESTS: usize = 300;
    let client = Arc::new(serve("misbehaves", limits()).await);
    let requests = (0..REQUESTS).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { client.post("/who", "").await.unwrap() })
    });
    let mut instances = HashSet::new();
    for request in requests.collect::<Vec<_>>() {
        let answer = request.await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        instances.insert(answer.text());
    }
    // Five instances would be sufficient; a machine with more processors, or a slow one, has more.
    assert!((2..=REQUESTS / 5).contains(&instances.len()), "{}", instances.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_compute_do_not_delay_others() {
    let limits = Limits { request_timeout: Duration::from_secs(10), ..limits() };
    let client = Arc::new(serve("misbehaves", limits).await);
    // As many requests as there are instances for all processors.
    let parallel = std::thread::available_parallelism().unwrap().get();
    let computing = (0..parallel).map(|_| {
        let client = client.clone();
        tokio::spawn(async move { status(&client, "/loop").await })
    });
    let computing: Vec<_> = computing.collect();
    for _ in 0..3 {
        assert_eq!(status(&client, "/good").await, 200);
    }
    assert!(!computing.iter().any(JoinHandle::is_finished), "the others waited for them");
    for computing in computing {
        assert_eq!(computing.await.unwrap(), 504);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_before_the_end_of_the_body_breaks_no_connection() {
    const BODY_BYTES: usize = 100_000;
    let address = serve("misbehaves", limits()).await.address().to_owned();
    let mut connection = TcpStream::connect(address).await.unwrap();
    for path in ["/good", "/good"] {
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: {BODY_BYTES}\r\n\r\n");
        connection.write_all(head.as_bytes()).await.unwrap();
        // The guest does not read the body.
        let mut answer = Vec::new();
        // The response is chunked, and the last chunk is empty.
        while !answer.ends_with(b"good\r\n0\r\n\r\n") {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "closed");
        }
        connection.write_all(&vec![b' '; BODY_BYTES]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_of_wasi_0_2_is_served() {
    let client = serve("wasi-p2", limits()).await;
    for body in ["", "small", &"large ".repeat(50_000)] {
        let answer = client.post("/", body.to_owned()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text() == body), (200, true), "{}", body.len());
    }
}
