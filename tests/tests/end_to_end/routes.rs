//! The component that answers if several routes match, as in Spin.

use component_host::Limits;

use crate::guests::{load, serve_app};

/// `misbehaves` answers `good` at `/good`, `wasi-p2` returns the body.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "routes"
[[trigger.http]]
route = "/good"
component = "misbehaves"
[[trigger.http]]
route = "/good/"
component = "wasi-p2"
[[trigger.http]]
route = "/..."
component = "wasi-p2"
[[trigger.http]]
route = "/private/*"
component = "misbehaves"
executor = { type = "http" }
[[trigger.http]]
route = "/.well-known/spin/mine"
component = "wasi-p2"
[component.misbehaves]
source = "components/misbehaves.wasm"
[component.wasi-p2]
source = "components/wasi_p2.wasm"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_the_same_and_the_most_specific_of_others() {
    let limits = Limits::default();
    let client = serve_app(load(MANIFEST, &limits).unwrap(), limits).await;
    for (path, status, text) in [
        ("/good", 200, "echo"),
        ("/good/", 200, "echo"),
        ("//good", 200, "echo"),
        ("/other", 200, "echo"),
        ("/privately", 200, "echo"),
        ("/private", 200, "good"),
        ("/private/x", 200, "good"),
        ("/.well-known/spin/mine", 404, ""),
    ] {
        let answer = client.post(path, "echo").await.unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(text), "{path}: {}", answer.text());
    }
}
