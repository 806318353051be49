//! Every component imports only interfaces that Spin 4.1 provides or its dependencies satisfy.

use component_host::compose;
use kafka_trigger::TriggerConfig;
use pipeline_tests::root;
use spin_app::app::Component;
use spin_app::manifest;
use spin_app::variables::Variables;
use wac_graph::types::{Package, Types};

use crate::middleware::plugged;

/// The interfaces that Spin 4.1 provides to its guests, by package and version: the world
/// `platform` of its WIT package `spin:up@4.1.0`, as far as the components use it. Any release of
/// WASI 0.2 is accepted.
const SPIN: [(&str, &str); 21] = [
    ("fermyon:spin", "2.0.0"),
    ("spin:key-value", "3.0.0"),
    ("spin:mqtt", "3.0.0"),
    ("spin:mysql", "3.0.0"),
    ("spin:postgres", "4.2.0"),
    ("spin:redis", "3.0.0"),
    ("spin:sqlite", "3.1.0"),
    ("spin:variables", "3.0.0"),
    ("wasi:cli", "0.2"),
    ("wasi:cli", "0.3.0"),
    ("wasi:clocks", "0.2"),
    ("wasi:clocks", "0.3.0"),
    ("wasi:filesystem", "0.2"),
    ("wasi:filesystem", "0.3.0"),
    ("wasi:http", "0.2"),
    ("wasi:http", "0.3.0"),
    ("wasi:io", "0.2"),
    ("wasi:random", "0.2"),
    ("wasi:random", "0.3.0"),
    ("wasi:sockets", "0.2"),
    ("wasi:sockets", "0.3.0"),
];

/// Interfaces that contain only types, which need no provider.
const TYPES_ONLY: [&str; 3] = [
    "doorbuster:http/types@0.1.0",
    "doorbuster:sales/types@0.2.0",
    "spin-kafka:events/types@0.2.0",
];

fn offers(import: &str) -> bool {
    let (path, version) = import.split_once('@').unwrap_or((import, ""));
    let package = path.split('/').next().unwrap_or(path);
    SPIN.iter().any(|(offered, of)| {
        *offered == package && (version == *of || (*of == "0.2" && version.starts_with("0.2.")))
    })
}

/// The imports that neither Spin nor a dependency satisfies.
fn missing(component: &Component) -> Vec<String> {
    // Spin provides none of the project's own interfaces.
    let component = Component { provide: Vec::new(), ..component.clone() };
    let bytes = compose::compose(&component, &[]).unwrap();
    let mut types = Types::default();
    let package = Package::from_bytes(&component.id, None, bytes, &mut types).unwrap();
    let imports = types[package.ty()].imports.keys();
    let missing = imports.filter(|import| {
        !offers(import) && !import.starts_with("denied:") && !TYPES_ONLY.contains(&import.as_str())
    });
    missing.cloned().collect()
}

#[test]
fn components_import_only_what_spin_or_a_dependency_provides() {
    for file in [
        "spin.toml",
        "spin-fused.toml",
        "examples/guarded-orders/spin.toml",
        "examples/request-counts/spin.toml",
        "examples/university/service.toml",
    ] {
        let app = manifest::read(&root().join(file)).unwrap();
        assert!(app.started().next().is_some(), "{file}");
        for component in app.started() {
            let missing = missing(component);
            assert!(missing.is_empty(), "{file}: `{}`: no provider for {missing:?}", component.id);
        }
    }
}

/// Without a broker, `doorbuster up` has no producer for components that let it provide one.
#[test]
fn applications_without_a_kafka_trigger_name_the_brokers_of_their_producer() {
    for file in ["examples/event-ingest/spin.toml", "examples/guarded-orders/spin.toml"] {
        let app = manifest::read(&root().join(file)).unwrap();
        let variables = Variables::resolve(&app.variables, |_| Some("127.0.0.1:9092".into()));
        let producer = TriggerConfig::producer_of(&[], &app, &variables).unwrap();
        assert!(producer.is_some(), "{file}");
    }
}

/// Middleware has no dependencies, so the producer is part of it in Spin: in the profile `spin` of a
/// manifest, which differs in nothing else.
#[test]
fn in_the_profile_for_spin_middleware_contains_a_producer() {
    for (example, id) in [("tasks", "reports-for-gateway"), ("university", "gateway")] {
        let file = root().join("examples").join(example).join("spin.toml");
        let app = manifest::read(&file).unwrap();
        assert_eq!(missing(app.component(id).unwrap()), ["spin-kafka:events/producer@0.2.0"]);

        let mut in_spin: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
        for (id, component) in in_spin["component"].as_table_mut().unwrap() {
            let component = component.as_table_mut().unwrap();
            let Some(mut profiles) = component.remove("profile") else { continue };
            let profile = profiles["spin"].as_table_mut().unwrap();
            component.insert("source".into(), profile.remove("source").unwrap());
            assert!(
                profile.is_empty() && profiles.as_table().unwrap().len() == 1,
                "{example}: {id}"
            );
        }
        let folder = tempfile::tempdir_in(root().join("examples")).unwrap();
        let path = folder.path().join("spin.toml");
        std::fs::write(&path, in_spin.to_string()).unwrap();
        for component in manifest::read(&path).unwrap().started() {
            assert_eq!(missing(component), [""; 0], "{example}: {}", component.id);
        }
    }
}

/// The exports of a composed component.
fn exports(component: &Component) -> Vec<String> {
    let bytes = compose::compose(component, &[]).unwrap();
    let mut types = Types::default();
    let package = Package::from_bytes(&component.id, None, bytes, &mut types).unwrap();
    types[package.ty()].exports.keys().cloned().collect()
}

/// The host calls `interceptor0` with complete requests: it is that of the component.
#[test]
fn a_component_that_forwards_requests_gets_complete_ones() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spin.toml");
    let built = root().join("target/components");
    let composed = plugged("balance", "retry");
    for (component, middleware, is_complete) in [
        (built.join("balance.wasm"), &[][..], true),
        (built.join("balance.wasm"), &["jwt", "retry"], true),
        // The interface is that of `retry`, which has no other component behind it.
        (composed.path().into(), &[], false),
        // This one does not forward requests.
        (built.join("dashboard.wasm"), &[], false),
    ] {
        let entry = |name: &&str| format!("{{ path = '{}/{name}.wasm' }}", built.display());
        let entries: Vec<_> = middleware.iter().map(entry).collect();
        let text = format!(
            "spin_manifest_version = 2\n[application]\nname = 'a'\n[[trigger.http]]\nroute = '/...'\n\
             component = 'a'\ndependencies.middleware = [{}]\n[component.a]\nsource = '{}'\n",
            entries.join(", "),
            component.display(),
        );
        std::fs::write(&path, text).unwrap();
        let app = manifest::read(&path).unwrap();
        let exports = exports(app.component("a").unwrap());
        let interceptor = format!("interceptor{}", middleware.len());
        assert_eq!(exports.contains(&interceptor), is_complete, "{component:?}: {exports:?}");
    }
}

#[test]
fn an_import_without_a_provider_is_named() {
    let app = manifest::read(&root().join("spin.toml")).unwrap();
    let mut writer = app.component("writer").unwrap().clone();
    assert!(writer.dependencies.remove("spin-kafka:events/producer").is_some());
    assert_eq!(missing(&writer), ["spin-kafka:events/producer@0.2.0"]);
}
