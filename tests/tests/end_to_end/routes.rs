//! What answers a request: routes with their precedence, named segments, responses without a
//! component, and requests of components to their own application, as in Spin.

use component_host::Limits;
use http::Method;
use pipeline_tests::Client;

use crate::guests::{load, serve_app};

/// `misbehaves` answers with the head of the request at `/head` and `good` elsewhere, `wasi-p2` with
/// the body, and `sends-requests` with the response to the request that its fields describe.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "routes"
[application.trigger.http]
base = "/"
[[trigger.http]]
route = "/good"
component = "misbehaves"
[[trigger.http]]
route = "/good/"
component = "wasi-p2"
[[trigger.http]]
route = "twice"
component = "misbehaves"
[[trigger.http]]
route = "twice"
component = { source = "components/wasi_p2.wasm" }
[[trigger.http]]
route = "/..."
component = "wasi-p2"
[[trigger.http]]
route = "/private/*"
component = "misbehaves"
executor = { type = "http" }
[[trigger.http]]
route = "/:first_part"
component = "misbehaves"
[[trigger.http]]
route = "/moved/..."
static_response = { status_code = 302, headers = { location = "/good" }, body = "moved" }
[[trigger.http]]
route = "/send"
component = "sends-requests"
[[trigger.http]]
route = "/.well-known/spin/mine"
component = "wasi-p2"
[component.misbehaves]
source = "components/misbehaves.wasm"
[component.sends-requests]
source = "components/sends_requests.wasm"
allowed_outbound_hosts = ["http://self"]
[component.wasi-p2]
source = "components/wasi_p2.wasm"
"#;

async fn send(client: &Client, path: &str, fields: &[(&str, &str)]) -> (u16, String) {
    let answer = client.send(Method::POST, path, fields, "echo").await.unwrap();
    (answer.status.as_u16(), answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_reach_what_they_reach_in_spin() {
    let limits = Limits::default();
    let client = serve_app(load(MANIFEST, &limits).unwrap(), limits).await;
    for (path, status, text) in [
        ("/good", 200, "good"),
        ("/good/", 200, "good"),
        ("//good", 200, "good"),
        ("/twice", 200, "echo"),
        ("/other", 200, "good"),
        ("/other/other", 200, "echo"),
        ("/privately", 200, "good"),
        ("/private", 200, "good"),
        ("/private/x", 200, "good"),
        ("/moved", 302, "moved"),
        ("/moved/to/x", 302, "moved"),
        ("/.well-known/spin/mine", 404, ""),
    ] {
        let (found, answer) = send(&client, path, &[]).await;
        assert_eq!(found, status, "{path}: {answer}");
        assert!(answer.contains(text), "{path}: {answer}");
    }
    let answer = client.send(Method::HEAD, "/moved", &[], "").await.unwrap();
    assert_eq!((answer.header("location"), answer.text().as_str()), ("/good", ""));

    let forged = [("spin-path-match-first-part", "forged"), ("spin-path-match-x", "forged")];
    let (_, head) = send(&client, "/head", &forged).await;
    assert!(head.contains(r#""spin-path-match-first-part": "head""#), "{head}");
    assert!(head.contains(r#""spin-raw-component-route": "/:first_part""#), "{head}");
    assert!(!head.contains("forged"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_calls_the_routes_of_its_application() {
    let limits = Limits::default();
    let client = serve_app(load(MANIFEST, &limits).unwrap(), limits.clone()).await;
    let (_, text) = send(&client, "/send", &[("x-url", "http://self.alt/head?a=b")]).await;
    assert!(text.contains("http://self.alt/head?a=b\n"), "{text}");
    assert!(text.contains(r#""spin-path-match-first-part": "head""#), "{text}");
    let (_, text) = send(&client, "/send", &[("x-url", "http://self.alt/moved")]).await;
    assert!(text.starts_with("302\n") && text.contains("moved"), "{text}");
    let (_, text) = send(&client, "/send", &[("x-url", "http://misbehaves.spin.internal/")]).await;
    assert!(text.contains("Denied"), "self is only the routes: {text}");

    let other = MANIFEST.replace("\"http://self\"", "\"http://misbehaves.spin.internal\"");
    let client = serve_app(load(&other, &limits).unwrap(), limits).await;
    let (_, text) = send(&client, "/send", &[("x-url", "http://self.alt/good")]).await;
    assert!(text.contains("Denied"), "{text}");
}
