//! `retry`, `breaker` and `balance` before servers that fail, hang, and vanish: with complete requests, and
//! with streams. `retry` and `breaker` are also tested before a component that handles complete requests.

mod balance;
mod breaker;
mod retry;

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
use pipeline_tests::{Answer, Client};
use tokio::net::{TcpListener, TcpSocket};
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
