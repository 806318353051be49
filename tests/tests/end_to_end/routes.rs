//! Which component answers where several routes fit, as in Spin.

use std::sync::Arc;
use std::time::Duration;

use component_host::http::Server;
use component_host::output::Outputs;
use component_host::variables::Variables;
use component_host::{CompileCache, Host, Limits, manifest};
use pipeline_tests::{Client, root};

/// `wicked` answers `good` at `/good`, `older` answers what it is sent.
const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "routes"
[[trigger.http]]
route = "/good"
component = "wicked"
[[trigger.http]]
route = "/good/"
component = "older"
[[trigger.http]]
route = "/..."
component = "older"
[[trigger.http]]
route = "/private/*"
component = "wicked"
executor = { type = "http" }
[[trigger.http]]
route = "/.well-known/spin/mine"
component = "older"
[component.wicked]
source = "components/wicked.wasm"
[component.older]
source = "components/older.wasm"
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_the_same_and_the_most_specific_of_others() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target")).unwrap();
    std::fs::write(file.path(), MANIFEST).unwrap();
    let app = manifest::read(file.path()).unwrap();
    let limits = Limits::default();
    let variables = Variables::default();
    let outputs = Outputs::default();
    let cache = CompileCache::UserFolder;
    let host = Host::load(&app, &variables, limits.clone(), outputs, &cache, &[]).unwrap();
    let address = "127.0.0.1:0".parse().unwrap();
    let server = Server::bind(address, host.services(), Arc::new(limits)).await.unwrap();
    let client = Client::new(&format!("http://{}", server.address()));
    tokio::spawn(server.run(Box::pin(std::future::pending()), Duration::ZERO));
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
