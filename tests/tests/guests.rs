//! The host and its guests: what a wicked one does harms its own request and nobody else's.

use std::sync::Arc;
use std::time::Duration;

use component_host::http::Server;
use component_host::output::Outputs;
use component_host::variables::Variables;
use component_host::{Error, Host, Limits, manifest};
use pipeline_tests::{Client, root};

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

/// Serves the guest, and answers a client for it. The host lives as long as the server's task.
async fn serve(guest: &str, limits: Limits) -> Client {
    serve_app(load(&MANIFEST.replace("GUEST", guest), &limits).unwrap(), limits).await
}

/// Loads the application of a manifest.
fn load(text: &str, limits: &Limits) -> Result<Host, Error> {
    let file = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target")).unwrap();
    std::fs::write(file.path(), text).unwrap();
    let app = manifest::read(file.path())?;
    let variables = Variables::resolve(&app.variables, |_| None)?;
    Host::load(&app, &variables, limits.clone(), Outputs::default(), &[])
}

async fn serve_app(host: Host, limits: Limits) -> Client {
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(address, host.services(), Arc::new(limits)).await.unwrap();
    let client = Client::new(&format!("http://{}", server.address()));
    tokio::spawn(async move {
        let _host = host;
        server.run(std::future::pending(), Duration::ZERO).await
    });
    client
}

fn limits() -> Limits {
    Limits {
        request_timeout: Duration::from_secs(1),
        instance_memory_bytes_max: 16 << 20,
        ..Limits::default()
    }
}

async fn status(client: &Client, path: &str) -> u16 {
    let answer = client.post(path, "").await.unwrap();
    if answer.status != 200 {
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
    }
    answer.status.as_u16()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wickedness_has_its_answer_and_the_next_request_is_served() {
    let client = serve("wicked", limits()).await;
    for (path, expected) in
        [("/trap", 500), ("/loop", 504), ("/hang", 504), ("/grow", 500), ("/short", 500)]
    {
        assert_eq!(status(&client, path).await, expected, "{path}");
        assert_eq!(status(&client, "/good").await, 200, "after {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_denied() {
    let client = serve("wicked", limits()).await;
    let answer = client.post("/connect", "").await.unwrap();
    assert!(answer.text().contains("PermissionDenied"), "{}", answer.text());
    let answer = client.post("/fetch", "").await.unwrap();
    assert!(answer.text().contains("HttpRequestDenied"), "{}", answer.text());
}

/// `asker` calls `curious`, which looks at what the test names.
const WITH_DEPENDENCY: &str = r#"
spin_manifest_version = 2
[application]
name = "asker"
[[trigger.http]]
route = "/..."
component = "asker"
[component.asker]
source = "components/asker.wasm"
allowed_outbound_hosts = ["tcp://127.0.0.1:1", "http://127.0.0.1:1", "tcp://localhost:1"]
variables = { address = "the-variable" }
environment = { address = "the-environment" }
[component.asker.dependencies]
"tests:curious/probe" = { path = "components/curious.wasm", inherit_configuration = INHERIT }
"#;

/// What the dependency sees of each thing, with the right to it and without.
const SIGHTS: [(&str, &str, &str, &str); 8] = [
    ("variables", "variables", "the-variable", "Undefined"),
    ("environment", "environment", "the-environment", "NotPresent"),
    ("http", "allowed_outbound_hosts", "ConnectionRefused", "HttpRequestDenied"),
    ("socket", "allowed_outbound_hosts", "ConnectionRefused", "AccessDenied"),
    ("lookup", "allowed_outbound_hosts", "Ipv4", "AccessDenied"),
    ("std-socket", "allowed_outbound_hosts", "ConnectionRefused", "PermissionDenied"),
    ("std-udp", "allowed_outbound_hosts", "UdpSocket", "PermissionDenied"),
    ("std-lookup", "allowed_outbound_hosts", "true", "false"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_sees_what_it_inherits_and_nothing_else() {
    let rights = ["variables", "environment", "allowed_outbound_hosts"];
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

/// Both import sockets of WASI 0.3, each other functions of them.
#[tokio::test(flavor = "multi_thread")]
async fn several_dependencies_are_denied_side_by_side() {
    let manifest = std::fs::read_to_string(root().join("spin.toml")).unwrap();
    let inherit = ", inherit_configuration = [\"allowed_outbound_hosts\", \"variables\"]";
    let denied = manifest
        .replace("target/components", "components")
        .replace(inherit, "")
        .replace("provide = [\"spin-kafka:events/producer\"]", "");
    let (front, back) = denied.split_once("[[trigger.kafka]]").unwrap();
    assert!(front.contains("kafka_producer.wasm") && back.contains("valkey.wasm"));
    load(&denied, &limits()).map(drop).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_is_refused_by_name() {
    let cases = [
        ("INHERIT", "[\"variabels\"]", "`variabels`"),
        ("tests:curious/probe", "tests:curious/prob", "tests:curious/probe@0.1.0"),
        ("components/curious.wasm", "components/asker.wasm", "does not export"),
        ("components/curious.wasm", "components/missing.wasm", "missing.wasm"),
        ("INHERIT", "true, export = \"a:b/c\"", "`a:b/c`"),
    ];
    for (from, to, expected) in cases {
        let text = WITH_DEPENDENCY.replace(from, to).replace("INHERIT", "true");
        let fault = load(&text, &limits()).err().map(|error| error.to_string());
        assert!(fault.as_deref().is_some_and(|text| text.contains(expected)), "{to}: {fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn past_the_bound_requests_are_told_to_come_later() {
    let request_timeout = Duration::from_secs(5);
    let limits = Limits { requests_at_once_max: 2, request_timeout, ..limits() };
    let client = Arc::new(serve("wicked", limits).await);
    // Turned away, too, while another request is served.
    let hang = |client: Arc<Client>| {
        tokio::spawn(async move {
            loop {
                match status(&client, "/hang").await {
                    503 => tokio::task::yield_now().await,
                    status => return status,
                }
            }
        })
    };
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
async fn a_guest_of_wasi_0_2_is_served_too() {
    let client = serve("older", limits()).await;
    for body in ["", "small", &"large ".repeat(50_000)] {
        let answer = client.post("/", body.to_owned()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.text() == body), (200, true), "{}", body.len());
    }
}
