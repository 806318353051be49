//! HTTP middleware before a component: with complete requests, and with streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::get;
use component_host::{ClientTls, Error, Limits};
use futures::{StreamExt as _, stream};
use http::{Method, StatusCode};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pipeline_tests::{Client, eventually, root};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions};

use crate::guests::{load, load_with, serve_app};
use crate::outgoing_requests::encrypted;

/// `exports-both` behind the components `jwt` and `rate-limit`.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "guarded"
[[trigger.http]]
route = "/..."
component = "service"
dependencies.middleware = [
    { component = "jwt", inherit_configuration = INHERIT },
    { component = "rate-limit", inherit_configuration = ["variables"] },
]
[component.service]
source = "components/SERVICE.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]
[component.service.variables]
jwt_issuer = "https://issuer.example"
jwt_audience = "orders"
jwt_routes = '[{"path": "/health", "public": true}, {"path": "/admin/...", "claims": {"role": "admin"}}]'
jwt_claim_headers = '{"sub": "x-token-subject", "role": "x-token-role"}'
rate_limit_average = "1000000"
KEYS
[component.jwt]
source = "components/MIDDLEWARE.wasm"
[component.rate-limit]
source = "components/rate_limit.wasm"
"#;

const RIGHTS: &str = "[\"variables\", \"allowed_outbound_hosts\"]";
const SECRET: &[u8] = b"a secret of this test, 32 bytes.";

/// A signature is verified in time on a busy machine, too.
fn limits() -> Limits {
    Limits { request_timeout: Duration::from_secs(60), ..crate::guests::limits() }
}

fn manifest(keys: &str) -> String {
    let text = MANIFEST.replace("INHERIT", RIGHTS).replace("SERVICE", "exports_both");
    text.replace("MIDDLEWARE", "jwt").replace("KEYS", keys)
}

/// The key set that verifies what [`SECRET`] signs.
pub fn key_set() -> Value {
    let jwk = Jwk::from_encoding_key(&EncodingKey::from_secret(SECRET).unwrap(), Algorithm::HS256);
    json!({ "keys": [jwk.unwrap()] })
}

/// The variable with the key set.
fn secret_key() -> String {
    format!("jwt_keys = '{}'", key_set())
}

fn token(algorithm: Algorithm, key: &EncodingKey, id: Option<&str>, claims: Value) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut all = json!({"iss": "https://issuer.example", "aud": "orders", "exp": now + 600});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let mut header = Header::new(algorithm);
    header.kid = id.map(Into::into);
    encode(&header, &all, key).unwrap()
}

/// The header `Authorization` with a valid token.
pub fn authorization(claims: Value) -> String {
    let secret = EncodingKey::from_secret(SECRET).unwrap();
    format!("Bearer {}", token(Algorithm::HS256, &secret, None, claims))
}

/// Serves an application. Only one is loaded at a time: they have the same component, which is
/// compiled once.
async fn start(text: &str, limits: Limits) -> Client {
    start_with(text, limits, &[]).await
}

/// The same, with settings for TLS.
async fn start_with(text: &str, limits: Limits, client_tls: &[ClientTls]) -> Client {
    static LOADING: Mutex<()> = Mutex::const_new(());
    let loading = LOADING.lock().await;
    let host = load_with(text, &limits, &[], client_tls).unwrap();
    drop(loading);
    serve_app(host, limits).await
}

/// Sends a request, complete or as a stream, and returns the response as text.
async fn request(client: &Client, streamed: bool, path: &str, fields: &[(&str, &str)]) -> String {
    let mut head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n");
    for (name, value) in fields {
        head += &format!("{name}: {value}\r\n");
    }
    if streamed {
        head += "expect: 100-continue\r\n";
    }
    client.raw(format!("{head}\r\n").as_bytes(), false).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_requests_with_a_valid_token_reach_the_component() {
    let client = start(&manifest(&secret_key()), limits()).await;
    let valid = authorization(json!({"sub": "ada", "role": "user"}));
    let valid = ("authorization", valid.as_str());
    let admin = authorization(json!({"sub": "ada", "role": "admin"}));
    let expired = authorization(json!({"exp": 1}));
    let other = authorization(json!({"aud": "stock"}));
    for streamed in [false, true] {
        let (path, reached) = ("/request", if streamed { "streamed" } else { "GET /request" });
        for (fields, status, challenge) in [
            (&[][..], 401, "Bearer\r\n"),
            (&[("authorization", "Basic YTpi")], 400, "invalid_request"),
            (&[valid, valid], 400, "invalid_request"),
            (&[("authorization", "Bearer e30.e30.")], 401, "invalid_token"),
            (&[("authorization", &format!("{}x", valid.1))], 401, "invalid_token"),
            (&[("authorization", &expired)], 401, "expired"),
            (&[("authorization", &other)], 401, "invalid_token"),
        ] {
            let answer = request(&client, streamed, path, fields).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{fields:?}: {answer}");
            assert!(answer.contains("content-type: application/problem+json"), "{answer}");
            assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
            assert!(answer.contains(challenge) && !answer.contains(reached), "{answer}");
        }
        let forged = [
            valid,
            ("x-token-subject", "forged"),
            ("x-token-subject", "forged, twice"),
            ("X-Token-Role", "forged"),
            ("x_token-role", "forged"),
            ("X_TOKEN_SUBJECT", "forged"),
            ("x-other", "kept"),
            // The host removes the headers that this one names, before any component gets the request.
            ("connection", "x-token-subject, x-token-role"),
        ];
        for forged in [&forged[..forged.len() - 1], &forged] {
            let answer = request(&client, streamed, path, forged).await;
            assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(reached), "{answer}");
            for line in ["x-token-subject: ada", "x-token-role: user", "x-other: kept"] {
                assert_eq!(answer.matches(line).count(), 1, "{line}: {answer}");
            }
            assert!(!answer.contains("forged"), "{answer}");
            // A public path needs no token, and its headers are not trusted either.
            let answer = request(&client, streamed, "/health", &forged[1..]).await;
            assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("forged"), "{answer}");
        }
        for (path, token, status) in [
            ("/admin/x", valid.1, 403),
            ("/%61dmin/x", valid.1, 403),
            ("/health/../admin", valid.1, 400),
            ("/admin/x", &admin, 200),
        ] {
            let answer = request(&client, streamed, path, &[("authorization", token)]).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        }
        refuse_changed(&client, streamed, valid.1).await;
        // The rest of the request and the response pass through.
        let body = "\0\r\nñ".repeat(if streamed { 40_000 } else { 1 });
        let answer =
            client.send(Method::PUT, "/request?a=%20b", &[valid], body.clone()).await.unwrap();
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        assert!(text.contains("PUT /request?a=%20b") && text.ends_with(&body), "{streamed}");
    }
}

/// Sends what is left of a valid header `Authorization` if one of its characters is changed, or its end
/// is missing. The pure tests of the crate `access-token` have tokens of all other kinds.
async fn refuse_changed(client: &Client, streamed: bool, valid: &str) {
    let scheme = "Bearer ".len();
    let changed = (scheme..valid.len()).flat_map(|at| {
        let (before, after) = (&valid[..at], &valid[at + 1..]);
        let others = ["A", "_"].into_iter().filter(move |other| valid[at..at + 1] != **other);
        let replaced = others.map(move |other| format!("{before}{other}{after}"));
        replaced.chain([before.to_owned()])
    });
    let changed: Vec<_> = changed.collect();
    assert!(changed.len() >= 500, "with the complete and the streamed requests, a thousand");
    let send = async |authorization: &String| {
        let mut fields = vec![("authorization", authorization.as_str())];
        fields.extend(streamed.then_some(("expect", "100-continue")));
        let answer = client.send(Method::GET, "/request", &fields, "").await.unwrap();
        assert!(matches!(answer.status.as_u16(), 400 | 401), "{authorization}: {}", answer.text());
    };
    stream::iter(&changed).for_each_concurrent(16, send).await;
}

/// An issuer that publishes keys.
struct Issuer {
    url: String,
    keys: watch::Sender<Option<Value>>,
    requests: Arc<AtomicUsize>,
}

impl Issuer {
    /// At first, it is out of order.
    async fn start() -> Self {
        let (keys, published) = watch::channel(None::<Value>);
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        let answer = get(move || async move {
            counter.fetch_add(1, Ordering::Relaxed);
            match &*published.borrow() {
                Some(keys) => (StatusCode::OK, keys.to_string()),
                None => (StatusCode::INTERNAL_SERVER_ERROR, String::new()),
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        let router = Router::new().route("/keys", answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, keys, requests }
    }

    fn publish(&self, key: &EncodingKey, algorithm: Algorithm, id: &str) {
        let mut jwk = Jwk::from_encoding_key(key, algorithm).unwrap();
        jwk.common.key_id = Some(id.into());
        self.keys.send_replace(Some(json!({ "keys": [jwk] })));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_issuer_are_fetched_once_and_survive_its_outage() {
    let issuer = Issuer::start().await;
    let keys = format!("jwt_keys_url = \"{}\"", issuer.url);
    // One instance, whose components need a memory each: others would fetch the keys, too.
    let limits = Limits { instances_max: 5, ..limits() };
    let client = start(&manifest(&keys), limits).await;
    let status = async |token: &str| {
        let fields = [("authorization", &*format!("Bearer {token}"))];
        client.send(Method::GET, "/", &fields, "").await.unwrap().status.as_u16()
    };
    let first = EncodingKey::from_ed_der(include_bytes!(
        "../../../crates/sales/access-token/tests/keys/ed.der"
    ));
    let second = EncodingKey::from_ec_der(include_bytes!(
        "../../../crates/sales/access-token/tests/keys/ec.der"
    ));
    let old = token(Algorithm::EdDSA, &first, Some("first"), json!({}));
    let new = token(Algorithm::ES256, &second, Some("second"), json!({}));
    assert_eq!(status(&old).await, 503);
    issuer.publish(&first, Algorithm::EdDSA, "first");
    eventually("the keys are fetched", async || (status(&old).await == 200).then_some(())).await;
    // Of many requests with unknown keys, few make the instances ask the issuer.
    let before = issuer.requests.load(Ordering::Relaxed);
    let unknown = futures::future::join_all((0..50).map(|_| status(&new))).await;
    assert!(unknown.iter().all(|status| *status == 401), "{unknown:?}");
    let asked = issuer.requests.load(Ordering::Relaxed) - before;
    assert!(asked < 25, "{asked} requests to the issuer");
    issuer.publish(&second, Algorithm::ES256, "second");
    eventually("the new key is fetched", async || (status(&new).await == 200).then_some(())).await;
    eventually("the old key is forgotten", async || (status(&old).await == 401).then_some(()))
        .await;
    issuer.keys.send_replace(None);
    for _ in 0..10 {
        assert_eq!(status(&new).await, 200, "during an outage");
    }
}

/// Token, then rate: the limit is that of the token's subject.
/// The middleware has the settings of the component behind it.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_an_issuer_are_fetched_over_tls() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, private_key) = (cert.pem(), signing_key.serialize_pem());
    let key = EncodingKey::from_ec_der(include_bytes!(
        "../../../crates/sales/access-token/tests/keys/ec.der"
    ));
    let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).unwrap();
    let keys = json!({ "keys": [jwk] }).to_string();
    let protocols = ["h2", "http/1.1"];
    let issuer = encrypted(&certificate, &private_key, &protocols, move |_| keys.clone()).await;
    let keys = format!("jwt_keys_url = \"https://{issuer}/keys\"");
    let text = manifest(&keys).replace("http://127.0.0.1:*", "https://127.0.0.1:*");
    let trusted = ClientTls {
        components: vec!["service".into()],
        hosts: vec!["127.0.0.1".into()],
        use_platform_roots: false,
        roots: certificate.into(),
        identity: None,
    };
    let token = format!("Bearer {}", token(Algorithm::ES256, &key, None, json!({})));
    for (client_tls, expected) in [(vec![trusted], 200), (vec![], 503)] {
        let client = start_with(&text, limits(), &client_tls).await;
        let fields = [("authorization", &*token)];
        let answer = client.send(Method::GET, "/", &fields, "").await.unwrap();
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_subject_has_its_own_rate() {
    let settings = "rate_limit_average = \"1\"\nrate_limit_period_s = \"3600\"\n\
                    rate_limit_burst = \"2\"\nrate_limit_key = \"header:x-token-subject\"";
    let text = manifest(&secret_key()).replace("rate_limit_average = \"1000000\"", settings);
    // One instance counts all requests. Each of its three components needs a memory.
    let limits = Limits { instances_max: 5, ..limits() };
    let client = start(&text, limits).await;
    for (subject, streamed, other) in [("ada", false, true), ("bob", true, false)] {
        let authorization = authorization(json!({"sub": subject}));
        let fields = [("authorization", authorization.as_str()), ("x-token-subject", "forged")];
        for remaining in ["1", "0"] {
            let answer = request(&client, streamed, "/request", &fields).await;
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            assert!(answer.contains("ratelimit-limit: 2"), "{answer}");
            assert!(answer.contains(&format!("ratelimit-remaining: {remaining}")), "{answer}");
        }
        // Through either way, it is the same bucket.
        for streamed in [streamed, other] {
            let answer = request(&client, streamed, "/request", &fields).await;
            assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
            assert!(answer.contains("ratelimit-remaining: 0"), "{answer}");
            assert!(answer.contains("retry-after: 3"), "about an hour: {answer}");
            assert!(answer.contains("problem:rate-limit"), "{answer}");
        }
    }
    // A request without a token takes nothing.
    let answer = request(&client, false, "/request", &[("x-token-subject", "eve")]).await;
    assert!(answer.starts_with("HTTP/1.1 401") && !answer.contains("ratelimit"), "{answer}");
}

/// `wac plug` with two components: the exports of `plug` satisfy imports of `socket`.
pub fn plugged(plug: &str, socket: &str) -> tempfile::NamedTempFile {
    let folder = root().join("target/components");
    let mut graph = CompositionGraph::new();
    let [plug, socket] = [plug, socket].map(|name| {
        let file = folder.join(format!("{name}.wasm"));
        let package = Package::from_file(&format!("t:{name}"), None, file, graph.types_mut());
        graph.register_package(package.unwrap()).unwrap()
    });
    wac_graph::plug(&mut graph, vec![plug], socket).unwrap();
    let composed = graph.encode(EncodeOptions::default()).unwrap();
    let file = tempfile::NamedTempFile::new_in(&folder).unwrap();
    std::fs::write(file.path(), composed).unwrap();
    file
}

/// `wac plug` composes the same without a host.
#[tokio::test(flavor = "multi_thread")]
async fn wac_composes_middleware_with_a_component() {
    let file = plugged("exports_both", "jwt");
    let text = manifest(&secret_key())
        .replace("components/exports_both.wasm", &file.path().display().to_string())
        .lines()
        .filter(|line| !line.starts_with("dependencies.") && !line.starts_with([' ', ']']))
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    let client = start(&text, limits()).await;
    let token = authorization(json!({"sub": "ada"}));
    let answer = request(&client, false, "/request", &[("authorization", token.as_str())]).await;
    assert!(answer.contains("streamed") && answer.contains("x-token-subject: ada"), "{answer}");
    let answer = request(&client, false, "/request", &[]).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
}

/// Composed middleware exports the filter of its outer part only. So the whole chain is called with
/// streams, and no part of it is left out.
#[tokio::test(flavor = "multi_thread")]
async fn every_part_of_composed_middleware_is_called() {
    let file = plugged("jwt", "rate_limit");
    let text =
        manifest(&secret_key()).replace("components/jwt.wasm", &file.path().display().to_string());
    let client = start(&text, limits()).await;
    let token = authorization(json!({"sub": "ada"}));
    let fields = [("authorization", token.as_str()), ("x-token-subject", "forged")];
    for streamed in [false, true] {
        let answer = request(&client, streamed, "/request", &fields[1..]).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        let answer = request(&client, streamed, "/request", &fields).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("streamed"), "{answer}");
        assert!(answer.contains("x-token-subject: ada") && !answer.contains("forged"), "{answer}");
    }
}

/// `sends-requests`, which calls the component behind the middleware.
const CALLER: &str = r#"
[[trigger.http]]
route = "/..."
component = "sends-requests"
[component.sends-requests]
source = "components/sends_requests.wasm"
allowed_outbound_hosts = ["http://*.spin.internal"]
[component.sends-requests.dependencies]
"doorbuster:http/client" = { path = "components/http_client.wasm", inherit_configuration = true }
[component.sends-requests.tool.doorbuster]
provide = PROVIDE
"#;

/// Through the host's client, and through `wasi:http/client`.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_other_components_pass_the_middleware() {
    let guarded = manifest(&secret_key()).replace("\"/...\"\n", "{ private = true }\n");
    let forged = "x-token-subject: forged";
    let valid = format!("authorization: {}|{forged}", authorization(json!({"sub": "ada"})));
    for provide in ["[\"doorbuster:http/client\"]", "[]"] {
        let text = format!("{guarded}{}", CALLER.replace("PROVIDE", provide));
        let client = start(&text, limits()).await;
        let call = async |fields: &str| {
            let url = "http://service.spin.internal/request";
            let fields = [("x-url", url), ("x-fields", fields)];
            client.send(Method::POST, "/", &fields, "").await.unwrap().text()
        };
        let refused = call(forged).await;
        assert!(refused.starts_with("401\n"), "{provide}: {refused}");
        let passed = call(&valid).await;
        assert!(passed.starts_with("200\n"), "{provide}: {passed}");
        assert!(passed.contains("x-token-subject: ada"), "{provide}: {passed}");
        assert!(!passed.contains("forged"), "{provide}: {passed}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn middleware_is_for_one_trigger_of_a_component() {
    let open = "[[trigger.http]]\nroute = \"/open\"\ncomponent = \"service\"\n";
    let client = start(&format!("{}{open}", manifest(&secret_key())), limits()).await;
    for streamed in [false, true] {
        for (path, status) in [("/request", 401), ("/open", 200), ("/open/x", 401)] {
            let answer = request(&client, streamed, path, &[]).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn middleware_that_cannot_check_lets_nothing_pass() {
    for (text, expected) in [
        // It does not inherit the variables.
        (manifest(&secret_key()).replace(RIGHTS, "false"), 502),
        (manifest(""), 502),
        (manifest("jwt_keys = 'x'"), 502),
        (manifest("jwt_keys_url = \"http://a:b@127.0.0.1:1/keys\""), 502),
        (manifest("jwt_keys_url = \"http://192.0.2.1/keys\""), 503),
        (manifest("jwt_keys_url = \"https://127.0.0.1:1/keys\""), 503),
    ] {
        let client = start(&text, limits()).await;
        let fields = [("authorization", "Bearer e30.e30.e30")];
        let answer = client.send(Method::GET, "/", &fields, "").await.unwrap();
        assert_eq!(answer.status.as_u16(), expected, "{text}\n{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let fault = |from, to| {
        let loaded = load(&manifest(&secret_key()).replace(from, to), &limits());
        loaded.map(drop).map_err(|error: Error| error.to_string()).unwrap_err()
    };
    let none = fault("components/jwt.wasm", "components/exports_both.wasm");
    assert!(none.contains("`middleware[0]`") && none.contains("is not middleware"), "{none}");
    let none = fault("components/exports_both.wasm", "components/wasi_p2.wasm");
    assert!(none.contains("does not export `wasi:http/handler@0.3.0`"), "{none}");
    let none = fault(RIGHTS, "[\"variable\"]");
    assert!(none.contains("`variable` is unknown"), "{none}");
}
