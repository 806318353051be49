//! Writes manifests that contain a part of another one, or one component.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

/// The folder for derived manifests.
const FOLDER: &str = "target/bench";

/// The composition without the bridge, `bench/without-bridge.wac`.
const WITHOUT_BRIDGE: &str = "target/components/without_bridge.wasm";

/// Writes a manifest without the Kafka trigger, because the native program of the request path does
/// not consume either. With `wasm_only`, the host provides none of the dependencies.
pub fn request_path_of(manifest: &Path, wasm_only: bool) -> Result<PathBuf> {
    derive(manifest, if wasm_only { "accept-wasm-only" } else { "accept" }, |app| {
        drop_kafka(app);
        if wasm_only {
            drop_provided(app);
        }
    })
}

/// Writes `spin-fused.toml` without the Kafka trigger, and with the composition without the bridge.
pub fn without_bridge() -> Result<PathBuf> {
    derive(Path::new("spin-fused.toml"), "without-bridge", |app| {
        drop_kafka(app);
        let component =
            table(app, "component").and_then(|components| table(components, "pipeline"));
        if let Some(component) = component {
            let source = std::path::absolute(WITHOUT_BRIDGE).unwrap_or_default();
            component.insert("source".into(), source.to_string_lossy().into_owned().into());
        }
    })
}

/// Writes a manifest of the same application, in which the host provides none of the dependencies.
pub fn without_provided(manifest: &Path) -> Result<PathBuf> {
    derive(manifest, "wasm-only", drop_provided)
}

/// Writes a manifest of the same application without this middleware.
pub fn without_one(manifest: &Path, middleware: &str) -> Result<PathBuf> {
    derive(manifest, &format!("without-{middleware}"), |app| drop_one(app, middleware))
}

/// The manifest that [`with_aggregator`] writes.
pub const WITH_AGGREGATOR: &str = "target/bench/other-aggregator-spin-fused.toml";

/// Writes `spin-fused.toml` with another build of the aggregator.
pub fn with_aggregator(wasm: &Path) -> Result<()> {
    let source = std::path::absolute(wasm)?.to_string_lossy().into_owned();
    let path = derive(Path::new("spin-fused.toml"), "other-aggregator", |app| {
        let component = table(app, "component").and_then(|all| table(all, "aggregator"));
        if let Some(component) = component {
            component.insert("source".into(), source.into());
        }
    })?;
    ensure!(path == Path::new(WITH_AGGREGATOR), "unexpected name: {}", path.display());
    Ok(())
}

/// Writes a changed manifest to `target/bench/<prefix>-<path>`, with hyphens in the path.
fn derive(manifest: &Path, prefix: &str, change: impl FnOnce(&mut toml::Table)) -> Result<PathBuf> {
    let place = || manifest.display().to_string();
    let text = std::fs::read_to_string(manifest).with_context(place)?;
    let mut app: toml::Table = text.parse().with_context(place)?;
    let folder = std::path::absolute(manifest)?.parent().map(Path::to_owned).unwrap_or_default();
    make_paths_absolute(&mut app, &folder);
    change(&mut app);
    let path = manifest.to_string_lossy().replace('/', "-");
    write(&format!("{prefix}-{path}"), &app.to_string())
}

/// Writes the manifest `<name>.toml` of the component `hello`, which answers all requests.
pub fn of_component(name: &str, wasm: &Path) -> Result<PathBuf> {
    let source = std::path::absolute(wasm)?;
    let source = source.to_string_lossy();
    let text = format!(
        "spin_manifest_version = 2\n\
         application.name = \"hello\"\n\
         trigger.http = [{{ route = \"/...\", component = \"hello\" }}]\n\
         component.hello.source = {source:?}\n"
    );
    write(&format!("{name}.toml"), &text)
}

pub fn write(name: &str, text: &str) -> Result<PathBuf> {
    let out = Path::new(FOLDER).join(name);
    std::fs::create_dir_all(FOLDER).with_context(|| format!("cannot create {FOLDER}"))?;
    std::fs::write(&out, text).with_context(|| format!("cannot write {}", out.display()))?;
    Ok(out)
}

/// Removes the Kafka triggers and the components that only they use.
fn drop_kafka(app: &mut toml::Table) {
    let removed = table(app, "trigger").and_then(|triggers| triggers.remove("kafka"));
    let triggers = removed.as_ref().and_then(toml::Value::as_array).into_iter().flatten();
    let called: Vec<&str> = triggers.filter_map(|t| t.get("component")?.as_str()).collect();
    if let Some(components) = table(app, "component") {
        components.retain(|name, _| !called.contains(&name));
    }
}

/// Removes one component from the middleware of the HTTP triggers. It remains, but is not started.
fn drop_one(app: &mut toml::Table, middleware: &str) {
    for trigger in http_triggers(app) {
        let list = table(trigger, "dependencies").and_then(|all| all.get_mut("middleware"));
        if let Some(toml::Value::Array(list)) = list {
            list.retain(|one| {
                one.get("component").and_then(toml::Value::as_str) != Some(middleware)
            });
        }
    }
}

fn http_triggers(app: &mut toml::Table) -> impl Iterator<Item = &mut toml::Table> {
    let triggers = table(app, "trigger").and_then(|triggers| triggers.get_mut("http"));
    let triggers = triggers.and_then(toml::Value::as_array_mut).into_iter().flatten();
    triggers.filter_map(toml::Value::as_table_mut)
}

/// Removes the settings that let the host provide a dependency.
fn drop_provided(app: &mut toml::Table) {
    for (_, component) in table(app, "component").into_iter().flatten() {
        if let Some(component) = component.as_table_mut() {
            component.remove("tool");
        }
    }
}

/// Makes the paths absolute, because the derived manifest is in another folder.
fn make_paths_absolute(app: &mut toml::Table, folder: &Path) {
    for (_, component) in table(app, "component").into_iter().flatten() {
        let Some(component) = component.as_table_mut() else {
            continue;
        };
        absolute(component, "source", folder);
        for (_, dependency) in table(component, "dependencies").into_iter().flatten() {
            if let Some(dependency) = dependency.as_table_mut() {
                absolute(dependency, "path", folder);
            }
        }
    }
}

fn absolute(table: &mut toml::Table, key: &str, folder: &Path) {
    if let Some(toml::Value::String(path)) = table.get_mut(key) {
        *path = folder.join(&*path).to_string_lossy().into_owned();
    }
}

fn table<'a>(table: &'a mut toml::Table, key: &str) -> Option<&'a mut toml::Table> {
    table.get_mut(key)?.as_table_mut()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_manifest_keeps_the_rest() {
        let mut app: toml::Table = r#"
            [[trigger.http]]
            component = "front"
            [[trigger.kafka]]
            component = "back"
            [component.front]
            source = "a/front.wasm"
            dependencies = { "x:y" = { path = "a/y.wasm" } }
            [component.back]
            source = "a/back.wasm"
        "#
        .parse()
        .unwrap();
        drop_kafka(&mut app);
        make_paths_absolute(&mut app, Path::new("/app"));
        let expected: toml::Table = r#"
            [[trigger.http]]
            component = "front"
            [component.front]
            source = "/app/a/front.wasm"
            dependencies = { "x:y" = { path = "/app/a/y.wasm" } }
        "#
        .parse()
        .unwrap();
        assert_eq!(app, expected);

        let with = |middleware: &str| -> toml::Table {
            let trigger = format!("[[trigger.http]]\ndependencies.middleware = [{middleware}]");
            trigger.parse().unwrap()
        };
        let mut app = with("{ component = 'guard' }, { component = 'cache' }");
        drop_one(&mut app, "cache");
        assert_eq!(app, with("{ component = 'guard' }"));
    }
}
