//! `retry`, `breaker` and `balance` before servers that fail, hang, and vanish: with complete requests, and
//! with streams. `retry` and `breaker` are also tested before a component that handles complete requests.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use component_host::Limits;
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode, Uri};
use pipeline_tests::{Answer, Client, eventually};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;

use crate::guests::{load, serve_app};

/// The component `balance`, behind the middleware of the test, and another component that it may send
/// requests to.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "gateway"
[[trigger.http]]
route = "/..."
component = "balance"
dependencies.middleware = MIDDLEWARE
[component.marks-requests]
source = "components/marks_requests.wasm"
[component.balance]
source = "components/SOURCE.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*", "http://service.spin.internal"]
variables = { VARIABLES }
[component.retry]
source = "components/retry.wasm"
[component.breaker]
source = "components/breaker.wasm"
[component.cache]
source = "components/cache.wasm"
[component.rate-limit]
source = "components/rate_limit.wasm"
[[trigger.http]]
route = { private = true }
component = "service"
[component.service]
source = "components/exports_both.wasm"
"#;

/// A component that forwards requests, and how they are sent to it.
type Kind = (&'static str, bool);

/// `balance` with complete requests and with streams, and another component.
const KINDS: [Kind; 3] = [COMPLETE, STREAMED, ("forwards_requests", false)];

const COMPLETE: Kind = ("balance", false);
const STREAMED: Kind = ("balance", true);

/// The longest body of a complete request.
const COMPLETE_BYTES_MAX: usize = 64 << 10;

/// An application, and how requests are sent to it.
struct App {
    client: Client,
    streamed: bool,
}

impl App {
    /// Sends a request. The outermost middleware says how the host has passed it on.
    async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let expected =
            if self.streamed || body.len() > COMPLETE_BYTES_MAX { "streamed" } else { "complete" };
        let streamed = self.streamed.then_some(("expect", "100-continue"));
        let fields: Vec<_> = fields.iter().copied().chain(streamed).collect();
        let answer = self.client.send(method, path, &fields, body).await.unwrap();
        // The answers of the host have no such header.
        if answer.status.as_u16() < 500 || !answer.header("x-request").is_empty() {
            assert_eq!(answer.header("x-request"), expected, "{path}: {}", answer.text());
        }
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &[], "").await
    }

    async fn status(&self, method: Method, path: &str) -> u16 {
        self.send(method, path, &[], "a body").await.status.as_u16()
    }

    /// Sends the head of a request with these lines, and returns the response as text.
    async fn raw(&self, first: &str, lines: &str) -> String {
        let expect = if self.streamed { "expect: 100-continue\r\n" } else { "" };
        let head = format!("{first} HTTP/1.1\r\nhost: a\r\n{lines}{expect}\r\n");
        self.client.raw(head.as_bytes(), false).await.unwrap()
    }
}

/// Serves a component that forwards requests with these variables behind this middleware, in one instance,
/// which counts all requests.
async fn start(
    (component, streamed): Kind,
    middleware: &[&str],
    variables: &[(&str, &str)],
) -> App {
    let middleware = [&["marks-requests"][..], middleware].concat();
    let entry = |name: &&str| {
        format!("{{ component = \"{name}\", inherit_configuration = [\"variables\"] }}")
    };
    let entries: Vec<_> = middleware.iter().map(entry).collect();
    let variables: Vec<_> =
        variables.iter().map(|(name, value)| format!("{name} = '{value}'")).collect();
    let text = MANIFEST
        .replace("MIDDLEWARE", &format!("[{}]", entries.join(", ")))
        .replace("VARIABLES", &variables.join(", "))
        .replace("SOURCE", component);
    // Two components share them, and each part of `balance` needs a memory.
    let instances_max = u32::try_from(2 * (middleware.len() + 1)).unwrap();
    let request_timeout = Duration::from_secs(60);
    let limits = Limits { request_timeout, instances_max, ..crate::guests::limits() };
    App { client: serve_app(load(&text, &limits).unwrap(), limits).await, streamed }
}

/// The length of a response that is longer than a complete one may be.
const LONG_BYTES: usize = 3 << 20;

/// A server that fails on command.
#[derive(Clone, Default)]
pub(super) struct Upstream {
    pub(super) url: String,
    /// The bodies of the requests for each path.
    requests: Arc<Mutex<HashMap<String, Vec<Bytes>>>>,
    /// Continues `/stream`.
    go_on: Arc<Notify>,
    /// Whether `/service` and `/health` fail.
    is_broken: Arc<AtomicBool>,
}

impl Upstream {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let upstream = Self { url, ..Self::default() };
        let router = Router::new()
            .route("/fails/{times}/{id}", any(Self::fail))
            .route("/hangs/{times}/{id}", any(Self::hang))
            .route("/later/{id}", any(Self::later))
            .route("/service", any(Self::service))
            .route("/health", any(Self::service))
            .route("/echo", any(Self::echo))
            .route("/stream", any(Self::stream))
            .route("/short", any(Self::short))
            .route("/long", any(async || "x".repeat(LONG_BYTES)))
            .with_state(upstream.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        upstream
    }

    /// `host:port`.
    fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Notes a request, and returns how many there were before for this path.
    fn note(&self, path: &str, body: Bytes) -> usize {
        let mut requests = self.requests.lock().unwrap();
        let bodies = requests.entry(path.into()).or_default();
        bodies.push(body);
        bodies.len() - 1
    }

    /// The bodies of the requests for a path.
    pub(super) fn bodies(&self, path: &str) -> Vec<Bytes> {
        self.requests.lock().unwrap().get(path).cloned().unwrap_or_default()
    }

    /// Answers 503 several times, and then 200.
    async fn fail(
        State(own): State<Self>,
        Path((times, id)): Path<(usize, String)>,
        body: Bytes,
    ) -> StatusCode {
        let earlier = own.note(&format!("/fails/{times}/{id}"), body);
        if earlier < times { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
    }

    /// Does not answer several times, and then answers 200.
    async fn hang(
        State(own): State<Self>,
        Path((times, id)): Path<(usize, String)>,
        body: Bytes,
    ) -> StatusCode {
        if own.note(&format!("/hangs/{times}/{id}"), body) < times {
            std::future::pending::<()>().await;
        }
        StatusCode::OK
    }

    /// Answers that the client should come again in an hour.
    async fn later(State(own): State<Self>, Path(id): Path<String>) -> Response {
        own.note(&format!("/later/{id}"), Bytes::new());
        (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "3600")]).into_response()
    }

    /// Announces more than it sends.
    async fn short() -> Response {
        let cut = stream::iter([Ok("five"), Err(std::io::Error::other("interrupted"))]);
        ([("content-length", "5")], Body::from_stream(cut)).into_response()
    }

    /// Answers 500 as long as it is broken.
    async fn service(State(own): State<Self>, uri: Uri) -> StatusCode {
        own.note(uri.path(), Bytes::new());
        let is_broken = own.is_broken.load(Ordering::Relaxed);
        if is_broken { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    }

    /// Answers with the method, the URL, the headers and the body of the request, chunked.
    async fn echo(State(own): State<Self>, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let mut text = format!("{} {}\n", head.method, head.uri);
        for (name, value) in &head.headers {
            text += &format!("{name}: {}\n", value.to_str().unwrap());
        }
        let begin = stream::once(async move { Ok(Bytes::from(text + "\n")) });
        let body = Body::from_stream(begin.chain(body.into_data_stream()));
        ([("x-upstream", own.url)], body).into_response()
    }

    /// Answers with a piece at once, and with another one on command.
    async fn stream(State(own): State<Self>) -> Body {
        let first = stream::once(async { Ok::<_, std::io::Error>("first") });
        let second = stream::once(async move {
            own.go_on.notified().await;
            Ok("second")
        });
        Body::from_stream(first.chain(second))
    }
}

/// A port that refuses connections while the socket is kept, and its URL.
pub(super) fn nobody() -> (TcpSocket, String) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    (socket, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_may_be_repeated_are_sent_again() {
    for kind in KINDS {
        let upstream = Upstream::start().await;
        let variables = [
            ("balance_upstreams", &*upstream.url),
            ("server", upstream.address()),
            ("balance_timeout_ms", "25000"),
            ("retry_attempts", "3"),
            ("retry_initial_interval_ms", "1"),
            ("retry_timeout_ms", "25000"),
            ("retry_idempotency_key", "true"),
            ("retry_body_bytes_max", "100"),
        ];
        let client = start(kind, &["retry"], &variables).await;
        let key = ("idempotency-key", "k");
        let long = "x".repeat(101);
        for (method, path, fields, body, expected, attempts) in [
            (Method::GET, "/fails/2/get", &[][..], "", 200, 3),
            (Method::PUT, "/fails/2/put", &[], "a body", 200, 3),
            (Method::DELETE, "/fails/3/delete", &[], "", 503, 3),
            (Method::POST, "/fails/1/post", &[], "a body", 503, 1),
            (Method::POST, "/fails/1/key", &[key], "a body", 200, 2),
            // The body is too long to be kept.
            (Method::PUT, "/fails/1/long", &[], &long, 503, 1),
            (Method::GET, "/later/get", &[], "", 503, 1),
        ] {
            let answer = client.send(method, path, fields, body.to_owned()).await;
            assert_eq!(answer.status.as_u16(), expected, "{path}: {}", answer.text());
            // If the time has ended before, an attempt has not reached the server.
            let bodies = upstream.bodies(path);
            assert_eq!(bodies.len(), attempts, "{path}");
            assert!(bodies.iter().all(|own| own == body), "{path}: {bodies:?}");
        }
        // A body without an announced length is passed on, but not kept.
        let head = "PUT /fails/1/chunked HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                    transfer-encoding: chunked\r\n\r\n6\r\na body\r\n4\r\n, on\r\n0\r\n\r\n";
        let answer = client.client.raw(head.as_bytes(), false).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert_eq!(upstream.bodies("/fails/1/chunked"), ["a body, on"]);
    }
}

/// Checks that `breaker` has counted the requests that were ended before it as such, and not as failures.
async fn assert_abandoned(client: &App) {
    let metrics = client.get("/circuit").await.text().to_owned();
    assert!(metrics.contains("{result=\"network-error\"} 0\n"), "{metrics}");
    assert!(metrics.contains("{result=\"server-error\"} 0\n"), "{metrics}");
    assert!(!metrics.contains("{result=\"abandoned\"} 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_limited_in_number_and_time() {
    for kind in KINDS {
        limit_retries(kind).await;
    }
}

/// Checks when a request is sent again.
async fn limit_retries(kind: Kind) {
    let upstream = Upstream::start().await;
    let url = ("balance_upstreams", &*upstream.url);
    let timeout = ("balance_timeout_ms", "25000");
    let server = ("server", upstream.address());
    let limited = [url, server, timeout, ("retry_timeout_ms", "500")];
    let client = start(kind, &["retry"], &limited).await;
    let answer = client.get("/hangs/9/all").await;
    assert_eq!(answer.status.as_u16(), 504, "{}", answer.text());
    assert!(answer.text().contains("problem:timed-out"), "{}", answer.text());
    // An attempt that is not answered in time is repeated.
    let attempts = [
        url,
        server,
        timeout,
        ("retry_timeout_ms", "25000"),
        ("retry_attempts", "10"),
        ("retry_attempt_timeout_ms", "1000"),
        ("breaker_timeout_ms", "25000"),
        ("breaker_status_path", "/circuit"),
    ];
    let client = start(kind, &["retry", "breaker"], &attempts).await;
    assert_eq!(client.status(Method::PUT, "/hangs/1/first").await, 200);
    assert!(upstream.bodies("/hangs/1/first").iter().all(|body| body == "a body"));
    // The circuit does not count the attempt whose time had ended.
    assert_abandoned(&client).await;
    // It is the same with each of the middleware.
    let order = ["rate-limit", "cache", "retry", "breaker"];
    let variables = [&attempts[..], &[("rate_limit_average", "1000")]].concat();
    let client = start(kind, &order, &variables).await;
    let path = "/hangs/1/all";
    let answer = client.send(Method::PUT, path, &[], "a body").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("ratelimit-limit"), "1000");
    assert!(!answer.header("cache-status").is_empty());
    let bodies = upstream.bodies(path);
    assert!(bodies.len() > 1 && bodies.iter().all(|body| body == "a body"), "{bodies:?}");
    assert_abandoned(&client).await;
    // If everything fails, a burst of ten requests is repeated, and then one of a hundred.
    let budget = [
        url,
        server,
        timeout,
        ("retry_timeout_ms", "25000"),
        ("retry_initial_interval_ms", "1"),
        ("retry_budget_percent", "1"),
    ];
    let client = start(kind, &["retry"], &budget).await;
    for _ in 0..30 {
        assert_eq!(client.status(Method::GET, "/fails/1000/budget").await, 503);
    }
    assert_eq!(upstream.bodies("/fails/1000/budget").len(), 40);
}

/// Sends requests until one is refused, and returns the answer.
async fn refused(client: &App, path: &str) -> Answer {
    eventually("the circuit is open", async || {
        let answer = client.get(path).await;
        answer.text().contains("problem:circuit-open").then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_opens_and_closes_with_the_service() {
    for kind in KINDS {
        let upstream = Upstream::start().await;
        let variables = [
            ("balance_upstreams", &*upstream.url),
            ("server", upstream.address()),
            ("balance_timeout_ms", "25000"),
            ("breaker_expression", "ResponseCodeRatio(500, 600, 0, 600) > 0.5"),
            ("breaker_window_s", "600"),
            ("breaker_requests_min", "4"),
            ("breaker_fallback_duration_s", "1"),
            ("breaker_trials", "2"),
            ("breaker_timeout_ms", "25000"),
            ("breaker_status_path", "/circuit"),
        ];
        let client = start(kind, &["breaker"], &variables).await;
        let metric = async |line: &str| {
            let answer = client.get("/circuit?x").await;
            assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
            answer.text().lines().any(|own| own == line)
        };
        assert_eq!(client.status(Method::GET, "/service").await, 200);
        assert!(metric("breaker_state{breaker_state=\"closed\"} 1").await);
        upstream.is_broken.store(true, Ordering::Relaxed);
        let answer = refused(&client, "/service").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(upstream.bodies("/service").len() >= 4, "too few requests decided");
        // What is refused does not reach the service.
        let before = upstream.bodies("/service").len();
        let mut sent = 0;
        while client.status(Method::POST, "/service").await == 500 {
            sent += 1;
        }
        assert_eq!(upstream.bodies("/service").len() - before, sent);
        upstream.is_broken.store(false, Ordering::Relaxed);
        eventually("the circuit is closed", async || {
            assert!(matches!(client.status(Method::GET, "/service").await, 200 | 503));
            metric("breaker_state{breaker_state=\"closed\"} 1").await.then_some(())
        })
        .await;
        assert_eq!(client.status(Method::GET, "/service").await, 200);
        assert!(!metric("breaker_openings_total 0").await);
        assert_eq!(client.status(Method::POST, "/circuit").await, 405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_opens_if_the_service_hangs() {
    for kind in KINDS {
        let upstream = Upstream::start().await;
        let variables = [
            ("balance_upstreams", &*upstream.url),
            ("server", upstream.address()),
            ("balance_timeout_ms", "25000"),
            ("breaker_expression", "LatencyAtQuantileMS(50.0) > 100"),
            ("breaker_window_s", "600"),
            ("breaker_requests_min", "2"),
            ("breaker_fallback_duration_s", "3600"),
            ("breaker_timeout_ms", "300"),
        ];
        let client = start(kind, &["breaker"], &variables).await;
        let answer = client.get("/hangs/99/breaker").await;
        assert_eq!(answer.status, 504);
        assert!(answer.text().contains("problem:timed-out"), "{}", answer.text());
        let answer = refused(&client, "/hangs/99/breaker").await;
        let seconds: u32 = answer.header("retry-after").parse().unwrap();
        assert!((3_000..=3_600).contains(&seconds), "{seconds}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_distributed_over_the_upstreams_that_answer() {
    for kind in [COMPLETE, STREAMED] {
        distribute(kind).await;
    }
}

/// Checks that only upstreams that answer get requests.
async fn distribute(kind: Kind) {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let (_socket, gone) = nobody();
    let urls = format!("{},{},{gone}", one.url, other.url);
    let variables = [
        ("balance_upstreams", &*urls),
        ("balance_timeout_ms", "25000"),
        ("balance_sticky", "cookie:session"),
        ("balance_failures_max", "2"),
        ("balance_ejection_s", "3600"),
        ("retry_timeout_ms", "25000"),
        ("retry_initial_interval_ms", "1"),
    ];
    let client = start(kind, &[], &variables).await;
    let get = async |client: &App, fields: &[(&str, &str)]| {
        let answer = client.send(Method::GET, "/echo", fields, "").await;
        (answer.status.as_u16(), answer.header("x-upstream").to_owned())
    };
    let mut counts = HashMap::<(u16, String), usize>::new();
    for _ in 0..12 {
        *counts.entry(get(&client, &[]).await).or_default() += 1;
    }
    // It has failed twice, and gets no requests any more.
    assert_eq!(counts.remove(&(502, String::new())), Some(2), "{counts:?}");
    let counts: Vec<_> = counts.into_iter().map(|((status, _), count)| (status, count)).collect();
    assert_eq!(counts, [(200, 5), (200, 5)]);
    let mut used = Vec::new();
    for session in 0..20 {
        let cookie = format!("a=b; session={session}");
        let fields = [("cookie", &*cookie)];
        let first = get(&client, &fields).await;
        assert_eq!((first.0, get(&client, &fields).await), (200, first.clone()));
        used.push(first.1);
    }
    assert!(used.contains(&one.url) && used.contains(&other.url));
    // The failures are repeated until the upstream is ejected, or another one is reached.
    let client = start(kind, &["retry"], &variables).await;
    for _ in 0..6 {
        let answer = client.get("/echo").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Health checks find out that an upstream fails, and that it works again. No request is lost, because
    // the upstream answers nevertheless.
    let both = format!("{},{}", one.url, other.url);
    let checks = [
        ("balance_upstreams", &*both),
        ("balance_timeout_ms", "25000"),
        ("balance_health_path", "/health"),
        ("balance_health_interval_s", "1"),
        ("balance_health_timeout_ms", "25000"),
        ("balance_health_failures_max", "1"),
        ("balance_health_successes", "1"),
    ];
    let client = start(kind, &[], &checks).await;
    let used = async || {
        let answers = [get(&client, &[]).await, get(&client, &[]).await, get(&client, &[]).await];
        answers.map(|(status, url)| {
            assert_eq!(status, 200);
            url
        })
    };
    assert!(used().await.contains(&one.url));
    one.is_broken.store(true, Ordering::Relaxed);
    let is_ejected = async || (!used().await.contains(&one.url)).then_some(());
    eventually("the upstream that is not healthy gets no requests", is_ejected).await;
    one.is_broken.store(false, Ordering::Relaxed);
    let is_used = async || used().await.contains(&one.url).then_some(());
    eventually("the upstream gets requests again", is_used).await;
    assert!(!other.bodies("/health").is_empty());
    let hangs = [("balance_upstreams", &*one.url), ("balance_timeout_ms", "500")];
    let client = start(kind, &[], &hangs).await;
    assert_eq!(client.status(Method::GET, "/hangs/9/balance").await, 504);
    assert_eq!(client.status(Method::GET, "/hangs/9/balance").await, 504, "the only one");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_forwarded_unchanged_but_for_the_headers_of_the_connection() {
    for kind in [COMPLETE, STREAMED] {
        forward(kind).await;
    }
}

/// Checks what the upstream and the client get.
async fn forward(kind: Kind) {
    let upstream = Upstream::start().await;
    let url = format!("{}/", upstream.url);
    let variables = [("balance_upstreams", &*url), ("balance_timeout_ms", "25000")];
    let client = start(kind, &[], &variables).await;
    let forged = [
        ("x-forwarded-for", "203.0.113.1"),
        ("forwarded", "for=203.0.113.1"),
        ("x_forwarded_for", "203.0.113.1"),
        ("x-real-ip", "203.0.113.1"),
        ("spin-client-addr", "203.0.113.1:1"),
        ("keep-alive", "timeout=5"),
        ("x-other", "kept"),
    ];
    let (_, streamed) = kind;
    let body = "\0\r\nñ".repeat(if streamed { 100_000 } else { 1_000 });
    let answer = client.send(Method::PATCH, "/echo?a=%20b", &forged, body.clone()).await;
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    let (head, echoed) = text.split_once("\n\n").unwrap();
    assert!(echoed == body && !head.contains("203.0.113.1"), "{head}");
    assert!(head.starts_with("PATCH /echo?a=%20b\n") && head.contains("x-other: kept"), "{head}");
    let host = client.client.address();
    for line in [
        "x-forwarded-for: 127.0.0.1",
        &format!("x-forwarded-host: {host}"),
        "x-forwarded-proto: http",
        &format!("forwarded: for=127.0.0.1;host=\"{host}\";proto=http"),
    ] {
        assert_eq!(head.lines().filter(|own| *own == line).count(), 1, "{line}\n{head}");
    }
    assert!(!head.contains("spin-") && !head.contains("keep-alive"), "{head}");
    let inside =
        [("balance_upstreams", "http://service.spin.internal"), ("balance_timeout_ms", "25000")];
    let inside = start(kind, &[], &inside).await;
    let answer = inside.get("/request?a").await;
    assert!(answer.text().contains("GET /request?a"), "{}", answer.text());
    // A complete request remains one for that component.
    assert!(streamed || !answer.text().contains("streamed"), "{}", answer.text());
    let base = format!("{}/hangs/0", upstream.url);
    let below =
        start(kind, &[], &[("balance_upstreams", &*base), ("balance_timeout_ms", "25000")]).await;
    assert_eq!(below.status(Method::PUT, "/below").await, 200);
    assert_eq!(upstream.bodies("/hangs/0/below"), ["a body"]);
    for path in ["/%2e%2e/echo", "/..%2fecho"] {
        assert_eq!(below.status(Method::GET, path).await, 400, "{path}");
    }
    // `Connection` and the fields that it names concern only the connection of the client.
    let answer = client.raw("GET /echo", "connection: close, x-hop\r\nx-hop: 1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("x-hop"), "{answer}");
    // The path `*` cannot be passed on.
    let answer = client.raw("OPTIONS *", "connection: close\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    // An answer that ends early is the fault of the upstream.
    let answer = client.get("/short").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let long = client.get("/long").await;
    assert!(long.status == 200 && long.body.len() == LONG_BYTES, "{}", long.body.len());
    // The response may be a stream, also that to a complete request.
    let mut connection = TcpStream::connect(host).await.unwrap();
    let expect = if streamed { "expect: 100-continue\r\n" } else { "" };
    let request = format!("GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{expect}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let contains = |received: &[u8], text: &str| String::from_utf8_lossy(received).contains(text);
    while !contains(&received, "first") {
        assert_ne!(connection.read_buf(&mut received).await.unwrap(), 0);
    }
    assert!(!contains(&received, "second"));
    upstream.go_on.notify_one();
    connection.read_to_end(&mut received).await.unwrap();
    assert!(contains(&received, "second"), "{}", String::from_utf8_lossy(&received));
    let mark = if streamed { "x-request: streamed" } else { "x-request: complete" };
    assert!(contains(&received, mark), "{}", String::from_utf8_lossy(&received));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_clients_are_no_failures_of_upstreams() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let urls = format!("{},{}", one.url, other.url);
    let variables = [
        ("balance_upstreams", &*urls),
        ("balance_timeout_ms", "25000"),
        ("balance_failures_max", "1"),
        ("balance_ejection_s", "3600"),
        ("breaker_timeout_ms", "25000"),
        ("breaker_requests_min", "1"),
        ("breaker_expression", "ResponseCodeRatio(400, 600, 0, 600) > 0"),
    ];
    let client = start(STREAMED, &["breaker"], &variables).await;
    let head = "PUT /hangs/0/broken HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n6\r\na body\r\n";
    for rest in ["no length\r\n", "9\r\nno", ""] {
        let (text, breaks_off) = (format!("{head}{rest}"), !rest.starts_with("no"));
        // A client that closes its connection gets no answer.
        let answer = client.client.raw(text.as_bytes(), breaks_off).await.unwrap_or_default();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    let mut used = Vec::new();
    for _ in 0..4 {
        let answer = client.get("/echo").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        used.push(answer.header("x-upstream").to_owned());
    }
    assert!(used.contains(&one.url) && used.contains(&other.url), "{used:?}");
    // The time limit begins with the end of the body.
    let slow = [("balance_upstreams", &*one.url), ("balance_timeout_ms", "200")];
    let client = start(STREAMED, &[], &slow).await;
    let mut connection = TcpStream::connect(client.client.address()).await.unwrap();
    let head = head.replace("/hangs/0/broken", "/hangs/9/slow");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let early = connection.read_to_string(&mut answer);
    assert!(tokio::time::timeout(Duration::from_secs(1), early).await.is_err(), "{answer}");
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(one.bodies("/hangs/9/slow"), ["a body"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_are_not_valid_let_nothing_pass() {
    let upstream = Upstream::start().await;
    let url = ("balance_upstreams", &*upstream.url);
    for (middleware, variables) in [
        (&[][..], &[][..]),
        (&["retry"], &[url, ("retry_attempts", "many")]),
        (&["breaker"], &[url, ("breaker_expression", "Load() > 1")]),
    ] {
        for kind in [COMPLETE, STREAMED] {
            let client = start(kind, middleware, variables).await;
            let answer = client.get("/echo").await;
            assert_eq!(answer.status.as_u16(), 502, "{}", answer.text());
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
}
