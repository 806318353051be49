//! `retry`, `breaker`, `cache` and `balance` in Spin and in `doorbuster up`, before the same servers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use anyhow::{Result, bail};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use http::Method;
use http_body_util::BodyExt as _;
use pipeline_tests::{Client, root};
use test_servers::Kafka;
use tokio::net::TcpListener;

use crate::hosts::{self, Answers, Application, Case, Version};
use crate::spin::Spin;

/// Each middleware before `balance`, which forwards to the servers of this check.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "gateway"
[variables]
first = { required = true }
second = { required = true }
valkey_url = { required = true }
valkey_address = { required = true }

[[trigger.http]]
route = "/retry/..."
component = "retried"
dependencies.middleware = [{ component = "retry", inherit_configuration = ["variables"] }]
[component.retried]
source = "COMPONENTS/balance.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
[component.retried.variables]
balance_upstreams = "{{ first }}"
balance_failures_max = "1000"
retry_initial_interval_ms = "1"
retry_timeout_ms = "25000"

[[trigger.http]]
route = "/breaker/..."
component = "guarded"
dependencies.middleware = [{ component = "breaker", inherit_configuration = ["variables"] }]
[component.guarded]
source = "COMPONENTS/balance.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
[component.guarded.variables]
balance_upstreams = "{{ first }}"
breaker_requests_min = "3"
breaker_fallback_duration_s = "3600"

[[trigger.http]]
route = "/cache/..."
component = "cached"
dependencies.middleware = [
    { component = "cache", inherit_configuration = ["allowed_outbound_hosts", "variables"] },
]
[component.cached]
source = "COMPONENTS/balance.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*", "tcp://{{ valkey_address }}"]
[component.cached.variables]
balance_upstreams = "{{ first }}"
cache_purge_token = "a secret of this check"
cache_valkey_url = "{{ valkey_url }}"
cache_valkey_prefix = "cache:"
cache_valkey_timeout_ms = "10000"

[[trigger.http]]
route = "/balance/..."
component = "balanced"
[component.balanced]
source = "COMPONENTS/balance.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
[component.balanced.variables]
balance_upstreams = "{{ first }}, {{ second }}"
balance_sticky = "header:x-key"
balance_failures_max = "1000"
balance_timeout_ms = "3000"

[[trigger.http]]
route = "/closed/..."
component = "closed"
[component.closed]
source = "COMPONENTS/balance.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
variables = { balance_upstreams = "http://127.0.0.1:1" }

[component.retry]
source = "COMPONENTS/retry.wasm"
[component.breaker]
source = "COMPONENTS/breaker.wasm"
[component.cache]
source = "COMPONENTS/cache.wasm"
"#;

/// The most requests until the circuit is open. Each instance has its own, and a busy host may start
/// several.
const UNTIL_OPEN_MAX: usize = 100;

/// Checks that both hosts answer all requests with the same status, fields and body.
pub async fn compare(spin: &Spin, kafka: &Kafka) -> Result<()> {
    let upstreams = Upstreams::default();
    let (first, second) = (upstreams.start("first").await?, upstreams.start("second").await?);
    let folder = tempfile::tempdir()?;
    let manifest = folder.path().join("spin.toml");
    let components = root().join("target/components").display().to_string();
    std::fs::write(&manifest, MANIFEST.replace("COMPONENTS", &components))?;
    let variables = [("first", &*first), ("second", &*second)];
    let app =
        Application { name: "gateway", manifest: &manifest, variables: &variables, profile: None };
    hosts::compare(spin, kafka, &app, async |client, answers| {
        upstreams.forget();
        for version in Version::ALL {
            let cases = [retries(version), forwards(version), caches(version)];
            for case in cases.into_iter().flatten() {
                answers.add(client, version, case).await?;
            }
        }
        open_circuit(client, answers).await
    })
    .await
}

/// Requests to `retry`. The first parts of their paths after the route say how often a server fails.
fn retries(version: Version) -> Vec<Case> {
    let path = |times: u8, name: &str| format!("/retry/fails/{times}/{name}-{version:?}");
    vec![
        Case::new(Method::GET, &path(0, "first"), 200),
        Case::new(Method::GET, &path(2, "get"), 200),
        Case::new(Method::HEAD, &path(1, "head"), 200),
        Case::new(Method::PUT, &path(1, "put"), 200).body("a body"),
        Case::new(Method::DELETE, &path(9, "delete"), 503),
        Case::new(Method::POST, &path(1, "post"), 503).body("a body"),
    ]
}

/// Requests to `balance`.
fn forwards(version: Version) -> Vec<Case> {
    let key =
        |path: &str, status, key: &str| Case::new(Method::GET, path, status).field("x-key", key);
    let mut cases: Vec<Case> =
        ["a", "b", "c", "d", "e"].map(|name| key("/balance/echo", 200, name)).into();
    let forged = [
        ("forwarded", "for=192.0.2.1"),
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
        ("x_forwarded_for", "192.0.2.1"),
        ("x-real-ip", "192.0.2.1"),
    ];
    let forged = forged
        .into_iter()
        .fold(key("/balance/echo?a=%20b", 200, "a"), |case, (n, v)| case.field(n, v));
    cases.extend([
        forged,
        Case::new(Method::POST, "/balance/echo", 200).field("x-key", "a").body("a body"),
        key("/balance/status/204", 204, "a"),
        key("/balance/status/500", 500, "a"),
        key("/balance/cut", 502, "a"),
        Case::new(Method::GET, "/closed/echo", 502),
    ]);
    // It takes the time limit of `balance`.
    if let Version::Http1 = version {
        cases.push(key("/balance/hangs", 504, "a"));
    }
    cases
}

/// Requests to `cache`.
fn caches(version: Version) -> Vec<Case> {
    let path = |name: &str| format!("/cache/stored/{name}-{version:?}");
    let get = |name: &str| Case::new(Method::GET, &path(name), 200);
    let purge = |token: &str, status| {
        Case::new(Method::from_bytes(b"PURGE").unwrap_or_default(), &path("a"), status)
            .field("cache-purge-token", token)
    };
    vec![
        get("a"),
        get("a"),
        Case::new(Method::HEAD, &path("a"), 200),
        Case { status: 304, ..get("a").field("if-none-match", "\"v1\"") },
        get("a").field("cache-control", "no-cache"),
        get("a").field("authorization", "Bearer x"),
        Case { status: 504, ..get("b").field("cache-control", "only-if-cached") },
        get("a").field("accept-language", "de"),
        Case::new(Method::POST, &path("a"), 200).body("a change"),
        get("a"),
        purge("wrong", 403),
        purge("a secret of this check", 204),
        get("a"),
        Case::new(Method::GET, "/cache/echo", 200),
        Case::new(Method::GET, "/cache/status/404", 404),
    ]
}

/// Sends failing requests to `breaker` until it refuses one.
async fn open_circuit(client: &Client, answers: &mut Answers) -> Result<()> {
    answers.add(client, Version::Http1, Case::new(Method::GET, "/breaker/echo", 200)).await?;
    for _ in 0..UNTIL_OPEN_MAX {
        let answer = client.send(Method::GET, "/breaker/status/500", &[], "").await?;
        if answer.status == 503 {
            answers.note(client, "an open circuit".into(), &answer);
            return Ok(());
        }
    }
    bail!("the circuit is closed after {UNTIL_OPEN_MAX} failures")
}

/// The servers behind, and the number of requests for each path.
#[derive(Clone, Default)]
struct Upstreams {
    requests: Arc<Mutex<HashMap<String, usize>>>,
}

impl Upstreams {
    /// Starts a server with this name, and returns its URL.
    async fn start(&self, name: &'static str) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let own = self.clone();
        let answer = async move |request: Request| own.answer(name, request).await;
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(url)
    }

    /// Begins to count again.
    fn forget(&self) {
        self.requests.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clear();
    }

    async fn answer(&self, server: &'static str, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let earlier = {
            let mut requests = self.requests.lock().unwrap_or_else(|p| p.into_inner());
            let count = requests.entry(path.clone()).or_default();
            *count += 1;
            *count - 1
        };
        let response = Response::builder().header("x-server", server);
        let response = match *path.split('/').skip(2).collect::<Vec<_>>() {
            ["fails", times, _] if earlier < times.parse().unwrap_or_default() => {
                response.status(503).body("not now".into())
            }
            ["status", status] => response.status(status).body(Body::empty()),
            ["hangs"] => std::future::pending().await,
            ["cut"] => {
                let pieces = [Ok("five"), Err(std::io::Error::other("interrupted"))];
                let body = Body::from_stream(stream::iter(pieces));
                response.header("content-length", "5").body(body)
            }
            ["stored", _] => {
                let validated = request.headers().get("if-none-match");
                let is_valid = validated.is_some_and(|value| value == "\"v1\"");
                let response = response
                    .header("cache-control", "max-age=600")
                    .header("etag", "\"v1\"")
                    .header("vary", "accept-language");
                match is_valid {
                    true => response.status(304).body(Body::empty()),
                    false => response.body(format!("{} {earlier}", request.method()).into()),
                }
            }
            _ => response.body(described(request).await.into()),
        };
        response.unwrap_or_default()
    }
}

/// The method, the URL, the fields in alphabetical order and the body of a request.
async fn described(request: Request) -> String {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_else(|_| Bytes::new());
    let mut fields: Vec<_> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    fields.sort();
    let body = String::from_utf8_lossy(&body);
    format!("{} {}\n{}\n\n{body}", head.method, head.uri, fields.join("\n"))
}
