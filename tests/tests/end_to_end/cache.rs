//! The component `cache` before a component that passes requests on to a server of the test: with complete
//! requests, and with streams.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use component_host::Limits;
use futures::future::join_all;
use http::Method;
use pipeline_tests::{Answer, Client, Store, eventually};
use test_servers::{ValkeyConfig, start_valkey};
use tokio::sync::watch;

use crate::guests::{load, serve_app};

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "cached"
[[trigger.http]]
route = "/..."
component = "service"
dependencies.middleware = [
    { component = "MIDDLEWARE", inherit_configuration = ["allowed_outbound_hosts", "variables"] },
]
[component.service]
source = "components/forwards_requests.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*", "tcp://127.0.0.1:*"]
[component.service.variables]
server = "SERVER"
cache_purge_token = "a secret of this test"
VARIABLES
[component.cache]
source = "components/cache.wasm"
[component.rate-limit]
source = "components/rate_limit.wasm"
"#;

/// The server behind. It answers with the status in the header `x-status`, the headers in the query of a
/// request, and the number of requests for the path.
#[derive(Clone)]
struct Origin {
    address: String,
    requests: Arc<Mutex<HashMap<String, u32>>>,
    fails: Arc<AtomicBool>,
    /// Whether requests to `/slow` are answered.
    open: watch::Sender<bool>,
}

impl Origin {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = Self {
            address: listener.local_addr().unwrap().to_string(),
            requests: Arc::default(),
            fails: Arc::default(),
            open: watch::Sender::new(false),
        };
        let server = origin.clone();
        let answer = move |request: Request| async move { server.answer(request).await };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        origin
    }

    async fn answer(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let count = {
            let mut requests = self.requests.lock().unwrap();
            let count = requests.entry(path.clone()).or_default();
            *count += 1;
            *count
        };
        if path == "/slow" {
            self.open.subscribe().wait_for(|open| *open).await.unwrap();
        }
        if self.fails.load(Ordering::Relaxed) {
            return Response::builder().status(503).body(Body::empty()).unwrap();
        }
        let status = request.headers().get("x-status").map(|value| value.to_str().unwrap());
        let mut response = Response::builder().status(status.unwrap_or("200"));
        let mut body = count.to_string();
        let query = request.uri().query().unwrap_or_default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            let value = if name == "etag" { format!("\"{value}\"") } else { value.to_owned() };
            if name == "etag" && request.headers().get("if-none-match").is_some_and(|n| *n == value)
            {
                response = response.status(304);
                body.clear();
            }
            response = response.header(name, value);
        }
        if path == "/long" {
            let piece = Ok::<_, std::convert::Infallible>(Bytes::from(vec![b'x'; 1 << 20]));
            let pieces = futures::stream::iter(vec![piece; 3]);
            return response.body(Body::from_stream(pieces)).unwrap();
        }
        response.body(body.into()).unwrap()
    }

    fn requests(&self, path: &str) -> u32 {
        self.requests.lock().unwrap().get(path).copied().unwrap_or_default()
    }

    /// An application with this middleware before this server, in one instance.
    async fn app(&self, middleware: &str, variables: &str) -> App {
        let text = MANIFEST.replace("SERVER", &self.address).replace("VARIABLES", variables);
        let text = text.replace("MIDDLEWARE", middleware);
        // Both components need a memory.
        let request_timeout = Duration::from_secs(60);
        let limits = Limits { instances_max: 3, request_timeout, ..crate::guests::limits() };
        App { client: serve_app(load(&text, &limits).unwrap(), limits).await, streamed: false }
    }
}

/// A client of an application.
struct App {
    client: Client,
    /// Whether its requests are handled as streams.
    streamed: bool,
}

impl App {
    async fn send(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &'static str,
    ) -> anyhow::Result<Answer> {
        let streamed = self.streamed.then_some(("expect", "100-continue"));
        let fields: Vec<_> = fields.iter().copied().chain(streamed).collect();
        self.client.send(method, path, &fields, body).await
    }
}

async fn get(client: &App, path: &str, fields: &[(&str, &str)]) -> Answer {
    client.send(Method::GET, path, fields, "").await.unwrap()
}

/// The number of the response, and what the cache says about it.
async fn seen(client: &App, path: &str, fields: &[(&str, &str)]) -> (String, String) {
    let answer = get(client, path, fields).await;
    assert_eq!(answer.status.as_u16(), 200, "{path}: {answer:?}");
    let status = answer.header("cache-status").strip_prefix("Doorbuster; ");
    (answer.text(), status.unwrap_or_default().to_owned())
}

/// Checks that responses are stored, and given to the right clients.
async fn stores(client: &App, origin: &Origin) {
    let path = "/a?cache-control=max-age=600&etag=v1";
    let (body, status) = seen(client, path, &[]).await;
    assert_eq!(body, "1");
    assert!(status.starts_with("fwd=uri-miss; stored; ttl="), "{status}");
    let hit = get(client, path, &[]).await;
    assert_eq!((hit.text().as_str(), hit.header("content-length")), ("1", "1"));
    assert!(hit.header("cache-status").contains("; hit; ttl="), "{hit:?}");
    assert!(hit.header("age").parse::<u32>().is_ok(), "{hit:?}");
    let head = client.send(Method::HEAD, path, &[], "").await.unwrap();
    assert_eq!((head.header("content-length"), head.body.len()), ("1", 0), "{head:?}");
    let unmodified = get(client, path, &[("if-none-match", "\"v1\"")]).await;
    assert_eq!((unmodified.status.as_u16(), unmodified.body.len()), (304, 0), "{unmodified:?}");
    // A client that has stored it itself gets 304, also before the cache knows that it does not store it.
    let path = "/private?cache-control=private&etag=v1";
    for _ in 0..2 {
        let unmodified = get(client, path, &[("if-none-match", "\"v1\"")]).await;
        assert_eq!((unmodified.status.as_u16(), unmodified.body.len()), (304, 0), "{unmodified:?}");
        assert_eq!(unmodified.header("etag"), "\"v1\"");
    }
    let only = get(client, "/none", &[("cache-control", "only-if-cached")]).await;
    assert_eq!((only.status.as_u16(), origin.requests("/none")), (504, 0));

    // The component is asked whether the stored response is valid, and sends it only once.
    let path = "/validated?cache-control=no-cache&etag=v1";
    assert_eq!(seen(client, path, &[]).await.0, "1");
    let (body, status) = seen(client, path, &[]).await;
    assert_eq!((body.as_str(), origin.requests("/validated")), ("1", 2));
    assert!(status.starts_with("fwd=stale; fwd-status=304; stored"), "{status}");

    let path = "/vary?cache-control=max-age=600&vary=accept-language";
    for (language, expected) in [("de", "1"), ("en", "2"), ("de", "1"), ("en", "2")] {
        assert_eq!(seen(client, path, &[("accept-language", language)]).await.0, expected);
    }

    // What is for one client is not given to another, and what one client can influence neither.
    for field in [("authorization", "Bearer x"), ("cookie", "a=b")] {
        let path = format!("/{}?cache-control=max-age=600", field.0);
        for expected in ["1", "2"] {
            assert_eq!(seen(client, &path, &[field]).await.0, expected, "{field:?}");
        }
        assert_eq!(seen(client, &path, &[]).await.0, "3");
        assert_eq!(seen(client, &path, &[]).await.0, "3");
        assert_eq!(seen(client, &path, &[field]).await, ("4".into(), "fwd=miss".into()));
        let path = format!("/public/{}?cache-control=max-age=600,public", field.0);
        assert_eq!(seen(client, &path, &[field]).await.0, "1");
        assert_eq!(seen(client, &path, &[]).await.0, "1");
    }
    let forged = ("x-forwarded-host", "evil.example");
    let path = "/forged?cache-control=max-age=600";
    assert_eq!(seen(client, path, &[forged]).await.0, "1");
    assert_eq!(seen(client, path, &[]).await.0, "2");
    for path in ["/cookie?cache-control=max-age=600&set-cookie=a=b", "/no?cache-control=no-store"] {
        let first = seen(client, path, &[]).await.0;
        assert_ne!(seen(client, path, &[]).await.0, first, "{path}");
    }
    // A refusal of one client does not remove what others get.
    let path = "/refused?cache-control=max-age=600";
    assert_eq!(seen(client, path, &[]).await.0, "1");
    let refused = [("cache-control", "no-cache"), ("x-status", "401")];
    assert_eq!(get(client, path, &refused).await.status.as_u16(), 401);
    assert_eq!(seen(client, path, &[]).await.0, "1");
    let path = "/body?cache-control=max-age=600";
    for expected in ["1", "2"] {
        let answer = client.send(Method::GET, path, &[], "content").await.unwrap();
        assert_eq!(answer.text(), expected);
        assert_eq!(answer.header("cache-status"), "Doorbuster; fwd=bypass");
    }
    // Complete responses are not that long.
    for expected in [1, 2].into_iter().filter(|_| client.streamed) {
        let long = get(client, "/long?cache-control=max-age=600", &[]).await;
        assert_eq!((long.body.len(), origin.requests("/long")), (3 << 20, expected));
    }
}

/// Checks that a change removes what was stored before.
async fn invalidates(client: &App, origin: &Origin) {
    let path = "/changed?cache-control=max-age=600";
    let send = async |method: &[u8], fields: &[(&str, &str)]| {
        let method = Method::from_bytes(method).unwrap();
        client.send(method, path, fields, "").await.unwrap().status.as_u16()
    };
    assert_eq!(seen(client, path, &[]).await.0, "1");
    assert_eq!(send(b"PUT", &[]).await, 200);
    assert_eq!(seen(client, path, &[]).await.0, "3");
    origin.fails.store(true, Ordering::Relaxed);
    assert_eq!(send(b"PUT", &[]).await, 503);
    origin.fails.store(false, Ordering::Relaxed);
    assert_eq!(seen(client, path, &[]).await.0, "3");
    for fields in [&[][..], &[("cache-purge-token", "a secret of this tes")]] {
        assert_eq!(send(b"PURGE", fields).await, 403);
    }
    assert_eq!(seen(client, path, &[]).await.0, "3");
    assert_eq!(send(b"PURGE", &[("cache-purge-token", "a secret of this test")]).await, 204);
    assert_eq!(seen(client, path, &[]).await.0, "5");
}

/// Checks what is used when it is stale.
async fn uses_stale_responses(client: &App, origin: &Origin) {
    let path = "/stale?cache-control=max-age=0,stale-while-revalidate=600";
    assert_eq!(seen(client, path, &[]).await.0, "1");
    let (body, status) = seen(client, path, &[]).await;
    assert_eq!(body, "1");
    assert!(status.starts_with("hit; ttl="), "{status}");
    eventually("the response is renewed in the background", async || {
        (seen(client, path, &[]).await.0 != "1").then_some(())
    })
    .await;
    let path = "/error?cache-control=max-age=0,stale-if-error=600";
    assert_eq!(seen(client, path, &[]).await.0, "1");
    origin.fails.store(true, Ordering::Relaxed);
    let (body, status) = seen(client, path, &[]).await;
    assert_eq!(body, "1");
    assert!(status.starts_with("fwd=stale; fwd-status=503"), "{status}");
    assert_eq!(get(client, "/fails", &[]).await.status.as_u16(), 503);
    origin.fails.store(false, Ordering::Relaxed);
    assert_eq!(seen(client, path, &[]).await.0, "3");
}

/// Checks that many clients that miss at the same time cause one request.
async fn joins_requests(client: &App, origin: &Origin) {
    let slow = "/slow?cache-control=max-age=600";
    let all = async {
        let ask = || async { seen(client, slow, &[]).await };
        join_all((0..20).map(|_| ask())).await
    };
    let release = async {
        eventually("a request arrives", async || (origin.requests("/slow") > 0).then_some(()))
            .await;
        // The others have time to arrive.
        for _ in 0..3 {
            get(client, "/other", &[]).await;
        }
        origin.open.send_replace(true);
    };
    let (answers, ()) = tokio::join!(all, release);
    assert_eq!(origin.requests("/slow"), 1);
    let [mut sent, mut shared] = [0, 0];
    for (body, status) in answers {
        assert_eq!(body, "1");
        sent += u32::from(status.starts_with("fwd=uri-miss; stored; ttl="));
        // Requests that were late are hits.
        let is_collapsed =
            status.starts_with("fwd=uri-miss; ttl=") && status.ends_with("collapsed");
        shared += u32::from(is_collapsed || status.starts_with("hit; ttl="));
    }
    assert_eq!((sent, shared), (1, 19));
}

#[tokio::test(flavor = "multi_thread")]
async fn responses_are_stored_for_those_who_may_get_them() {
    for streamed in [false, true] {
        let origin = Origin::start().await;
        let client = App { streamed, ..origin.app("cache", "").await };
        let path = if streamed { "streamed" } else { "complete" };
        assert_eq!(get(&client, "/path", &[]).await.header("x-request"), path);
        stores(&client, &origin).await;
        invalidates(&client, &origin).await;
        uses_stale_responses(&client, &origin).await;
        joins_requests(&client, &origin).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_without_valid_settings_answers_nothing() {
    let origin = Origin::start().await;
    let client = origin.app("cache", "cache_bytes = \"x\"").await;
    let answer = get(&client, "/a", &[]).await;
    assert_eq!((answer.status.as_u16(), origin.requests("/a")), (502, 0), "{answer:?}");
}

/// The applications have different addresses, and the host is a part of the key.
const HOST: (&str, &str) = ("host", "shop.example");

/// Two applications with the same Valkey, which stand for two instances.
#[tokio::test(flavor = "multi_thread")]
async fn instances_share_responses_and_rates_in_valkey() {
    let mut valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let origin = Origin::start().await;
    // Valkey may be slow on a busy machine.
    let url = format!("valkey_url = \"{}\"", valkey.url());
    let variables = format!(
        "cache_{url}\ncache_valkey_prefix = \"test:\"\ncache_valkey_timeout_ms = \"10000\""
    );
    let caches = [origin.app("cache", &variables).await, origin.app("cache", &variables).await];
    let [a, b] = &caches;
    let path = "/a?cache-control=max-age=600&etag=v1";
    let (body, status) = seen(a, path, &[HOST]).await;
    assert_eq!(body, "1");
    assert!(status.starts_with("fwd=uri-miss; stored"), "{status}");
    let (body, status) = seen(b, path, &[HOST]).await;
    assert_eq!(body, "1");
    assert!(status.starts_with("hit; ttl="), "{status}");
    let unmodified = get(b, path, &[HOST, ("if-none-match", "\"v1\"")]).await;
    assert_eq!(unmodified.status.as_u16(), 304, "{unmodified:?}");
    let vary = "/vary?cache-control=max-age=600&vary=accept-language";
    for (client, language, expected) in
        [(a, "de", "1"), (b, "en", "2"), (b, "de", "1"), (a, "en", "2"), (a, "es", "3")]
    {
        assert_eq!(seen(client, vary, &[HOST, ("accept-language", language)]).await.0, expected);
    }
    // A change through one instance removes the response for the other one.
    assert_eq!(b.send(Method::PUT, path, &[HOST], "").await.unwrap().status.as_u16(), 200);
    assert_eq!(seen(a, path, &[HOST]).await.0, "3");
    assert_eq!(seen(b, path, &[HOST]).await.0, "3");
    // Nothing is kept for ever.
    let store = Store::connect(&valkey.url()).await.unwrap();
    let keys = store.info("keyspace").await.unwrap();
    assert!(keys.contains("keys=2,expires=2"), "{keys}");
    // A change that Valkey refuses is no success.
    let purge = async |client: &App| {
        let fields = [HOST, ("cache-purge-token", "a secret of this test")];
        let method = Method::from_bytes(b"PURGE").unwrap();
        client.send(method, "/purged", &fields, "").await.unwrap().status.as_u16()
    };
    assert_eq!(purge(a).await, 204);
    let permit = async |commands: &str| {
        store.command(&["ACL", "SETUSER", "default", commands]).await.unwrap();
    };
    permit("-@write").await;
    assert_eq!(purge(a).await, 503);
    permit("+@write").await;
    assert_eq!(purge(a).await, 204);

    let limited = async |other: &str| {
        let variables = format!(
            "rate_limit_{url}\nrate_limit_valkey_timeout_ms = \"10000\"\n\
             rate_limit_average = \"1\"\n\
             rate_limit_period_s = \"3600\"\nrate_limit_burst = \"3\"\n\
             rate_limit_key = \"all\"\n{other}"
        );
        origin.app("rate-limit", &variables).await
    };
    let [a, b] = [limited("").await, limited("rate_limit_without_store = \"refuse\"").await];
    for (client, status, remaining) in
        [(&a, 200, "2"), (&b, 200, "1"), (&a, 200, "0"), (&b, 429, "0"), (&a, 429, "0")]
    {
        let answer = get(client, "/limited", &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{answer:?}");
        assert_eq!(answer.header("ratelimit-remaining"), remaining, "{answer:?}");
        assert_eq!(answer.header("retry-after").is_empty(), status == 200, "{answer:?}");
    }

    // Without Valkey, there are no stored responses, and the instance or nobody permits requests.
    valkey.kill().await.unwrap();
    assert_eq!(purge(&caches[0]).await, 503);
    for expected in ["4", "5"] {
        assert_eq!(seen(&caches[0], path, &[HOST]).await.0, expected);
    }
    let local = get(&a, "/limited", &[]).await;
    assert_eq!((local.status.as_u16(), local.header("ratelimit-remaining")), (200, "2"));
    assert_eq!(get(&b, "/limited", &[]).await.status.as_u16(), 503);
}
