//! Tests with lock files as Spin 4.1 writes them: `locked/spin.lock.json` is the output of its
//! `spin up` for `locked/spin.toml` in the folder `/app`.

use std::path::Path;

use serde_json::{Value, json};
use spin_app::{App, manifest};

const MANIFEST: &str = include_str!("locked/spin.toml");
const LOCKED: &str = include_str!("locked/spin.lock.json");

/// Sorts arrays: Spin keeps the manifest's order and this host sorts, but the order has no meaning
/// for either.
fn sorted(mut app: Value) -> Value {
    for list in ["triggers", "components"] {
        if let Some(list) = app.get_mut(list).and_then(Value::as_array_mut) {
            list.sort_by_key(|one| one.get("id").map(Value::to_string));
        }
    }
    app
}

fn read(locked: &str) -> Result<App, spin_app::Error> {
    App::from_json(Path::new("spin.lock"), locked.as_bytes())
}

#[test]
fn a_manifest_is_locked_as_spin_locks_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spin.toml");
    std::fs::write(&path, MANIFEST).unwrap();
    let ours = serde_json::to_string(&manifest::read(&path).unwrap()).unwrap();
    let ours = ours.replace(&format!("file://{}/", folder.path().display()), "file:///app/");
    let (ours, spins) = (serde_json::from_str(&ours), serde_json::from_str(LOCKED));
    assert_eq!(sorted(ours.unwrap()), sorted(spins.unwrap()));
}

/// As the lock file of Spin 4.1 has it.
#[test]
fn middleware_is_locked_at_its_component() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR"));
    let app = manifest::read(&example.join("../../../examples/guarded-orders/spin.toml")).unwrap();
    app.check_support().unwrap();
    let locked = serde_json::to_value(&app).unwrap();
    assert_eq!(locked["must_understand"], json!(["component_host_requirements"]));
    let orders = locked["components"].as_array().unwrap().iter().find(|c| c["id"] == "orders");
    let orders = orders.unwrap();
    assert_eq!(orders["host_requirements"], json!({"middleware": "required"}));
    assert_eq!(orders["metadata"]["resolve-trigger-dependencies-using"], "http");
    let middleware = orders["trigger_dependencies"]["middleware"].as_array().unwrap();
    for (one, file) in middleware.iter().zip(["/jwt.wasm", "/rate_limit.wasm"]) {
        assert!(one["source"]["source"].as_str().unwrap().ends_with(file), "{one}");
        assert_eq!(one["export"], Value::Null);
    }
    assert_eq!(middleware[1]["inherit"], json!({"Some": ["variables"]}));
    assert_eq!(locked["triggers"][0].get("trigger_dependencies"), None);
    let again = serde_json::to_value(read(&locked.to_string()).unwrap()).unwrap();
    assert_eq!(again, locked);
}

#[test]
fn nothing_of_a_lock_file_is_lost() {
    let again = serde_json::to_value(read(LOCKED).unwrap()).unwrap();
    assert_eq!(again, serde_json::from_str::<Value>(LOCKED).unwrap());
}

#[test]
fn a_lock_file_means_what_its_manifest_means() {
    let app = read(LOCKED).unwrap();
    assert_eq!(app.triggers("kafka").count(), 3);
    let orders = app.component("orders").unwrap();
    assert_eq!(orders.source.path().unwrap(), Path::new("/app/app.wasm"));
    let inherit = |name: &str| &orders.dependencies[name].inherit;
    assert!(inherit("lab:calc/two").has("variables"));
    assert!(inherit("lab:calc/one@0.1.0").has("environment"));
    assert!(!inherit("lab:calc/one@0.1.0").has("variables"));
    assert!(!inherit("lab:none").has("environment"));
}

#[test]
fn what_must_be_understood_and_is_not_is_refused() {
    for (from, to, expected) in [
        ("\"component_host_requirements\"", "\"quantum\"", "`quantum`"),
        ("\"spin_lock_version\": 1", "\"spin_lock_version\": 2", "spin_lock_version 2"),
        ("\"triggers\": [", "\"triggers\": [1,", "no locked application"),
    ] {
        let fault = read(&LOCKED.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(fault.contains(expected) && fault.contains("spin.lock"), "{fault}");
    }
}
