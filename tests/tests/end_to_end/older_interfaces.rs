//! Components of older SDKs and toolchains of Spin: their release candidate of WASI 0.3, and their
//! interfaces for variables. `wasi-p3-rc` imports all of these.

use component_host::compose;
use pipeline_tests::root;
use spin_app::app::Component;
use spin_app::manifest;
use wac_graph::types::{ItemKind, Package};
use wac_graph::{CompositionGraph, EncodeOptions};

use crate::guests::{limits, load, serve_app};

/// The release candidate of Spin 4.0, of spin-sdk 6, and of the adapter of `spin registry push`.
const CANDIDATE: &str = "0.3.0-rc-2026-03-15";

const ALONE: &str = r#"
spin_manifest_version = 2
[application]
name = "wasi-p3-rc"
[[trigger.http]]
route = "/..."
component = "wasi-p3-rc"
[component.wasi-p3-rc]
source = "components/wasi_p3_rc.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:1", "tcp://localhost:1"]
variables = { address = "the-variable" }
"#;

const AS_DEPENDENCY: &str = r#"
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
[component.calls-dependency.dependencies]
"tests:capabilities/probe" = { path = "components/wasi_p3_rc.wasm", inherit_configuration = INHERIT }
"#;

/// The result for each capability, with the permission and without it.
const SIGHTS: [(&str, &str, &str); 6] = [
    ("variables", "Ok(\"the-variable\")", "Undefined"),
    ("undeclared", "Undefined", "Undefined"),
    ("config", "Ok(Some(\"the-variable\"))", "Ok(None)"),
    ("all-config", "Ok([(\"address\", \"the-variable\")])", "Ok([])"),
    ("http", "ConnectionRefused", "HttpRequestDenied"),
    ("lookup", "Ipv4", "AccessDenied"),
];

async fn see(manifest: &str, inherited: bool) {
    let client = serve_app(load(manifest, &limits()).unwrap(), limits()).await;
    for (thing, seen, denied) in SIGHTS {
        let answer = client.post(&format!("/{thing}"), "").await.unwrap();
        assert_eq!(answer.status, 200, "{thing}: {}", answer.text());
        let expected = if inherited { seen } else { denied };
        assert!(answer.text().contains(expected), "{thing}: {}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_a_release_candidate_is_served() {
    see(ALONE, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dependency_of_a_release_candidate_sees_what_it_inherits() {
    see(&AS_DEPENDENCY.replace("INHERIT", "true"), true).await;
    see(&AS_DEPENDENCY.replace("INHERIT", "false"), false).await;
}

/// `spin registry push` composes a component with its dependencies and with an adapter that denies
/// access. The result imports the adapter's interfaces of the release candidate in addition to
/// those of 0.3.0, and exports those of 0.3.0.
#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_spin_composed_is_served() {
    let pushed = tempfile::Builder::new().suffix(".wasm").tempfile_in(root().join("target"));
    let pushed = pushed.unwrap();
    std::fs::write(pushed.path(), composed()).unwrap();
    let file = pushed.path().file_name().unwrap().to_str().unwrap();
    see(&ALONE.replace("components/wasi_p3_rc.wasm", file), true).await;
}

/// `calls-dependency` composed with `wasi-p3-rc`.
fn composed() -> Vec<u8> {
    let mut graph = CompositionGraph::new();
    let mut add = |name: &str| {
        let file = format!("target/components/{}.wasm", name.replace('-', "_"));
        let bytes = std::fs::read(root().join(file)).unwrap();
        let package = Package::from_bytes(name, None, bytes, graph.types_mut()).unwrap();
        graph.register_package(package).unwrap()
    };
    let (caller, candidate) = (add("calls-dependency"), add("wasi-p3-rc"));
    wac_graph::plug(&mut graph, vec![candidate], caller).unwrap();
    let bytes = graph.encode(EncodeOptions::default()).unwrap();
    let imports = imports(&bytes);
    for version in [CANDIDATE, "0.3.0"] {
        let types = format!("wasi:http/types@{version}");
        assert!(imports.contains(&types), "{imports:?}");
    }
    bytes
}

fn imports(bytes: &[u8]) -> Vec<String> {
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("any", None, bytes, graph.types_mut()).unwrap();
    graph.types()[package.ty()].imports.keys().cloned().collect()
}

/// The host calls a handler by its name in 0.3.0.
#[test]
fn a_handler_of_a_release_candidate_gets_the_name_of_the_release() {
    let file = tempfile::Builder::new().suffix(".toml").tempfile_in(root().join("target")).unwrap();
    std::fs::write(file.path(), ALONE).unwrap();
    let app = manifest::read(file.path()).unwrap();
    let component: &Component = app.component("wasi-p3-rc").unwrap();
    let bytes = compose::compose(component, &[]).unwrap();
    let mut graph = CompositionGraph::new();
    let package = Package::from_bytes("any", None, bytes, graph.types_mut()).unwrap();
    let exports = &graph.types()[package.ty()].exports;
    assert!(matches!(exports.get("wasi:http/handler@0.3.0"), Some(ItemKind::Instance(_))));
    assert!(exports.keys().all(|name| !name.contains("-rc-")), "{exports:?}");
}
