//! Reads `spin.toml` (manifest version 2) and locks it, as `spin up` does. Errors name the key and
//! the line.

mod component;
mod files;
mod inline;
mod middleware;
mod names;
mod reader;
mod schema;
mod source;
mod trigger;

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Map;
use toml::{Spanned, Table, Value};

use crate::Error;
use crate::app::{App, Declaration, Metadata};
use reader::{Reader, absolute};

/// Reads the manifest at `path`. Relative paths in it are resolved against its folder.
pub fn read(path: &Path) -> Result<App, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.into(),
        source,
        hint: "; name the manifest, or the folder's spin.toml",
    })?;
    parse(path, &text)
}

/// Parses the text of the manifest at `path`.
pub fn parse(path: &Path, text: &str) -> Result<App, Error> {
    let mut reader = Reader::new(path, text);
    check_version(&reader, text)?;
    let manifest: schema::Manifest = toml::from_str(text).map_err(|e| reader.syntax(&e))?;
    let variables = variables(&reader, manifest.variables)?;
    let metadata = metadata(&mut reader, manifest.application, &manifest.trigger)?;
    let mut components = manifest
        .component
        .into_iter()
        .map(|(id, raw)| component::read(&mut reader, (id.span(), id.into_inner()), raw))
        .collect::<Result<Vec<_>, Error>>()?;
    let mut triggers = manifest.trigger;
    trigger::assign_ids(&reader, &mut triggers)?;
    inline::extract(&mut reader, &mut triggers, &mut components)?;
    let mut components = component::link(&reader, components)?;
    let triggers = trigger::read_all(&mut reader, triggers, &mut components)?;
    Ok(App::new(reader.origin, metadata, variables, triggers, components))
}

fn check_version(reader: &Reader<'_>, text: &str) -> Result<(), Error> {
    let version: schema::Version = toml::from_str(text).map_err(|e| reader.syntax(&e))?;
    let given = version.spin_manifest_version.or(version.spin_version);
    if given.as_ref().is_some_and(|given| *given.get_ref() == Value::Integer(2)) {
        return Ok(());
    }
    let message = match &given {
        Some(_) => {
            "only spin_manifest_version = 2 is supported; `spin doctor` upgrades a manifest of \
             version 1"
        }
        None => "`spin_manifest_version = 2` is missing",
    };
    Err(reader.error(given.map(|given| given.span()), message.into()))
}

fn metadata(
    reader: &mut Reader<'_>,
    application: schema::Application,
    triggers: &BTreeMap<String, Vec<Spanned<Table>>>,
) -> Result<Metadata, Error> {
    let mut other = Map::new();
    for (key, text) in [("version", application.version), ("description", application.description)]
    {
        if !text.is_empty() {
            other.insert(key.into(), text.into());
        }
    }
    if !application.authors.is_empty() {
        other.insert("authors".into(), application.authors.into());
    }
    let mut settings = BTreeMap::new();
    for (kind, table) in application.trigger {
        reader.mark(format!("application.trigger.{kind}"), &table.span());
        settings.insert(kind, reader.table(table.into_inner())?);
    }
    // The old form, which Spin still writes for an application with a single type of triggers.
    if let (Some(kind), 1) = (triggers.keys().next(), triggers.len()) {
        let mut single = settings.get(kind).cloned().unwrap_or_default();
        single.insert("type".into(), kind.as_str().into());
        other.insert("trigger".into(), single.into());
    }
    if let Ok(origin) = url::Url::from_file_path(absolute(reader.path)) {
        other.insert("origin".into(), origin.as_str().into());
    }
    Ok(Metadata { name: application.name, triggers: settings, other })
}

fn variables(
    reader: &Reader<'_>,
    raw: BTreeMap<String, Spanned<schema::Variable>>,
) -> Result<BTreeMap<String, Declaration>, Error> {
    let mut variables = BTreeMap::new();
    for (name, spanned) in raw {
        let span = spanned.span();
        let schema::Variable { default, required, secret, description } = spanned.into_inner();
        let checked = names::check_variable(&name).and_then(|()| {
            let one = default.is_some() != required;
            let message = || format!("variable `{name}`: give either a default or required = true");
            one.then_some(()).ok_or_else(message)
        });
        checked.map_err(|message| reader.error(Some(span), message))?;
        variables.insert(name, Declaration { description, default, secret });
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
spin_manifest_version = 2
[application]
name = "shop"
[application.trigger.kafka]
brokers = "{{ brokers }}"
[variables]
brokers = { default = "127.0.0.1:9092" }
[[trigger.http]]
route = "/purchase"
component = "ingest"
[component.ingest]
source = "target/ingest.wasm"
allowed_outbound_hosts = ["http://*.spin.internal"]
[component.ingest.dependencies]
"doorbuster:sales" = { path = "target/intake-http.wasm", inherit_configuration = ["variables"] }
"#;

    fn fault(text: &str) -> String {
        let app = parse(Path::new("app/spin.toml"), text);
        app.and_then(|app| app.check_support()).unwrap_err().to_string()
    }

    #[test]
    fn reads_an_application() {
        let app = parse(Path::new("app/spin.toml"), GOOD).unwrap();
        assert_eq!(app.metadata.name, "shop");
        let ingest = app.component("ingest").unwrap();
        assert!(ingest.source.path().unwrap().ends_with("app/target/ingest.wasm"));
        let inherit = &ingest.dependencies["doorbuster:sales"].inherit;
        assert!(inherit.has("variables") && !inherit.has("environment"));
        assert_eq!(app.triggers[0].settings()["route"], "/purchase");
        assert_eq!(app.origin.place("trigger.ingest-http-trigger").to_string(), "app/spin.toml:9");
    }

    #[test]
    fn faults_name_file_line_and_thing() {
        for (from, to, line, thing) in [
            ("name = \"shop\"", "nam = \"shop\"", 4, "nam"),
            ("version = 2", "version = 1", 2, "spin_manifest_version = 2"),
            ("version = 2", "version = \"1\"", 2, "spin doctor"),
            ("spin_manifest_version = 2", "spin_version = \"1\"", 2, "spin_manifest_version = 2"),
            ("spin_manifest_version = 2", "", 1, "`spin_manifest_version = 2` is missing"),
            ("component = \"ingest\"", "component = \"ingst\"", 9, "`ingst`"),
            ("component = \"ingest\"", "component = { sorce = \"a\" }", 9, "sorce"),
            (
                "component = \"ingest\"",
                "component = { source = { package = \"x\" } }",
                9,
                "a package of a registry",
            ),
            ("component = \"ingest\"", "component = 1", 9, "must be"),
            (
                "component = \"ingest\"",
                "component = \"ingest\"\nstatic_response = {}",
                9,
                "either `component` or `static_response`",
            ),
            ("[[trigger.http]]", "[[trigger.kafka]]\nstatic_response = {}", 9, "`http`"),
            (
                "component = \"ingest\"",
                "component = \"ingest\"\ncomponents = {}",
                9,
                "`components`",
            ),
            ("component = \"ingest\"", "component = \"ingest\"\nid = \"\"", 9, "`id`"),
            (
                "allowed_outbound",
                "sqlite_databases = [\"a\"]\nallowed_outbound",
                14,
                "sqlite_databases",
            ),
            (
                "allowed_outbound",
                "allowed_http_hosts = [\"a\"]\nallowed_outbound",
                14,
                "allowed_outbound_hosts",
            ),
            ("allowed_outbound", "profile.debug.sorce = \"a\"\nallowed_outbound", 14, "sorce"),
            ("allowed_outbound", "build.comand = \"a\"\nallowed_outbound", 14, "comand"),
            ("allowed_outbound", "tool.doorbuster.provid = []\nallowed_outbound", 14, "provid"),
            ("allowed_outbound", "variables = { Foo = \"a\" }\nallowed_outbound", 14, "`Foo`"),
            ("\"target/ingest.wasm\"", "{ registry = \"x\" }", 13, "a package of a registry"),
            ("\"target/ingest.wasm\"", "{ url = \"x\" }", 13, "`digest` is missing"),
            ("\"target/ingest.wasm\"", "{ url = \"https://a\", digets = \"x\" }", 13, "digets"),
            ("\"target/ingest.wasm\"", "1", 13, "path of a file"),
            ("{ default = \"127.0.0.1:9092\" }", "{ secret = true }", 8, "`brokers`"),
            ("brokers = { default", "BROKERS = { default", 8, "`BROKERS`"),
            (
                "{ path = \"target/intake-http.wasm\", ",
                "\"1.0\" #",
                16,
                "by `version` is not supported",
            ),
            ("path = \"target/intake-http.wasm\"", "registry = \"r\"", 16, "by `registry`"),
            ("path = \"target/intake-http.wasm\"", "url = \"u\"", 16, "`digest` is missing"),
            ("path = \"target/intake-http.wasm\"", "component = \"c\"", 16, "no component `c`"),
            ("path = \"target", "component = \"c\", path = \"target", 16, "one of `path`"),
            ("path = \"target", "paht = \"target", 16, "paht"),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let fault = fault(&GOOD.replacen(from, to, 1));
            assert!(fault.starts_with(&format!("app/spin.toml:{line}: ")), "{to}: {fault}");
            assert!(fault.contains(thing), "{fault}");
        }
        assert!(fault("[[[").starts_with("app/spin.toml:1: "));
        let fault = fault(&GOOD.replace("component.ingest", "component.\"a b\""));
        assert!(fault.starts_with("app/spin.toml:12: ") && fault.contains("`a b`"), "{fault}");
    }

    #[test]
    fn middleware_moves_to_the_component() {
        let middleware = |text: &str| format!("component = \"ingest\"\n{text}\n");
        let one = middleware(
            r#"dependencies.middleware = [{ component = "jwt", inherit_configuration = true }, { path = "limit.wasm" }]"#,
        );
        let jwt = "[component.jwt]\nsource = \"jwt.wasm\"\n";
        let text = GOOD.replace("component = \"ingest\"\n", &one) + jwt;
        let app = parse(Path::new("app/spin.toml"), &text).unwrap();
        app.check_support().unwrap();
        let component = app.component("ingest").unwrap();
        let files: Vec<_> = component.middleware().iter().map(|m| m.source.to_string()).collect();
        assert!(files[0].ends_with("app/jwt.wasm") && files[1].ends_with("app/limit.wasm"));
        assert!(component.middleware()[0].inherit.has("variables"));
        assert!(!component.middleware()[1].inherit.has("variables"));
        // The same component with another route, and without middleware there.
        let two = format!("component = \"ingest\"\n[[trigger.http]]\nroute = \"/x\"\n{one}");
        let text = GOOD.replace("component = \"ingest\"\n", &two) + jwt;
        let app = parse(Path::new("app/spin.toml"), &text).unwrap();
        let started: Vec<_> =
            app.started().map(|c| (c.id.as_str(), c.middleware().len())).collect();
        assert_eq!(started, [("ingest", 0), ("ingest-for-http-trigger1", 2)]);
        for (wrong, expected) in [
            ("dependencies.middle = []", "`middle` is not supported, only `middleware`"),
            ("dependencies.middleware = [{ component = \"none\" }]", "no component `none`"),
            (
                "dependencies.middleware = [{ component = \"ingest\" }]",
                "has `allowed_outbound_hosts`",
            ),
            ("dependencies.middleware = [{ package = \"p\" }]", "by `package` is not supported"),
            ("dependencies.middleware = [{ url = \"u\" }]", "`digest` is missing"),
            ("dependencies.middleware = [{}]", "one of `path`"),
            ("dependencies.middleware = [{ path = \"a\", export = \"b\" }]", "export"),
        ] {
            let text = GOOD.replace("component = \"ingest\"\n", &middleware(wrong)) + jwt;
            let fault = fault(&text);
            assert!(fault.starts_with("app/spin.toml:9: ") && fault.contains(expected), "{fault}");
        }
        let text = GOOD.replace("[trigger.http]", "[trigger.kafka]");
        let fault = fault(&(text.replace("component = \"ingest\"\n", &one) + jwt));
        assert!(fault.contains("only a trigger of the type `http`"), "{fault}");
    }

    #[test]
    fn a_component_may_be_inside_of_its_trigger() {
        let inline = r#"component = { source = "a.wasm", variables = { a = "b" } }"#;
        let two = format!("{inline}\n[[trigger.http]]\nroute = \"/x\"\nid = \"my_id\"\n{inline}");
        let text = GOOD.replace("component = \"ingest\"", &two);
        let app = parse(Path::new("app/spin.toml"), &text).unwrap();
        app.check_support().unwrap();
        let started: Vec<_> = app.started().map(|component| component.id.as_str()).collect();
        assert_eq!(started, ["http-trigger1-component", "inline-component1"]);
        let component = app.component("inline-component1").unwrap();
        assert!(component.source.to_string().ends_with("app/a.wasm"));
        assert_eq!(component.config["a"], "b");
        assert_eq!(app.origin.place("component.inline-component1").to_string(), "app/spin.toml:12");
        assert_eq!(app.triggers[0].id, "http-trigger1");
    }

    #[test]
    fn a_dependency_may_be_a_component() {
        let by_component =
            GOOD.replace("path = \"target/intake-http.wasm\"", "component = \"part\"");
        let part = "[component.part]\nsource = \"part.wasm\"\n";
        let app = parse(Path::new("app/spin.toml"), &(by_component.clone() + part)).unwrap();
        let dependency = &app.component("ingest").unwrap().dependencies["doorbuster:sales"];
        assert!(dependency.source.to_string().ends_with("app/part.wasm"));
        assert!(dependency.inherit.has("variables"));
        let nested = format!(
            "{by_component}{part}dependencies = {{ \"a:b\" = {{ component = \"x\" }} }}\n[component.x]\nsource = \"x.wasm\""
        );
        assert!(fault(&nested).contains("has `dependencies`"), "{}", fault(&nested));
        let fault = fault(&(by_component + part + "environment = { a = \"b\" }"));
        assert!(
            fault.starts_with("app/spin.toml:16: ") && fault.contains("environment"),
            "{fault}"
        );
    }

    #[test]
    fn a_trigger_may_have_a_response_in_place_of_a_component() {
        let response = "static_response = { status_code = 302 }";
        let text = GOOD.replace("component = \"ingest\"", response);
        let app = parse(Path::new("app/spin.toml"), &text).unwrap();
        app.check_support().unwrap();
        assert_eq!(app.check_triggers(&["http", "kafka"]).map_err(|e| e.to_string()), Ok(()));
        assert_eq!((app.triggers[0].component(), app.started().count()), (None, 0));
        assert_eq!(app.triggers[0].id, "http-trigger1");
    }

    #[test]
    fn what_matters_only_to_a_build_is_taken() {
        let text = GOOD
            .replace("name = \"shop\"", "name = \"shop\"\ntargets = [\"spin-up:3.2\"]")
            .replace("[component.ingest]", "[component.ingest]\ntargets = [\"spin-up:3.2\"]")
            + "[component.ingest.profile.debug]\nsource = \"debug.wasm\"\nbuild.command = \"make\"\n";
        let app = parse(Path::new("app/spin.toml"), &text).unwrap();
        let source = app.component("ingest").unwrap().source.path().unwrap();
        assert!(source.ends_with("app/target/ingest.wasm"), "{}", source.display());
    }

    #[test]
    fn an_id_belongs_to_one_trigger() {
        let named = "component = \"ingest\"\nid = \"one\"\n";
        let two = format!("{named}[[trigger.http]]\nroute = \"/x\"\n{named}");
        let fault = fault(&GOOD.replace("component = \"ingest\"\n", &two));
        assert!(fault.contains("the id `one` is used twice"), "{fault}");
    }

    #[test]
    fn only_triggers_that_are_known_start_components() {
        let check = |text: &str| {
            let app = parse(Path::new("app/spin.toml"), text).unwrap();
            app.check_triggers(&["http", "kafka"]).map_err(|error| error.to_string())
        };
        assert_eq!(check(GOOD), Ok(()));
        let wrong = GOOD.replace("[[trigger.http]]", "[[trigger.htpp]]");
        assert!(check(&wrong).unwrap_err().starts_with("app/spin.toml:9: trigger.htpp: "));
        let wrong = GOOD.replace("application.trigger.kafka", "application.trigger.kafak");
        assert!(
            check(&wrong).unwrap_err().starts_with("app/spin.toml:5: application.trigger.kafak: ")
        );
        let (before, after) = GOOD.split_once("[[trigger.http]]").unwrap();
        let (_, after) = after.split_once("[component").unwrap();
        let none = check(&format!("{before}[component{after}")).unwrap_err();
        assert!(none.contains("no trigger") && none.contains("ingest"), "{none}");
    }

    /// If the cost of each check grew with the number of entries, this would take minutes.
    #[test]
    fn thousands_of_triggers_are_read_at_once() {
        const TRIGGERS: usize = 5_000;
        let one = "[[trigger.http]]\nroute = \"/x\"\ncomponent = \"ingest\"\n";
        let text = GOOD.replace(
            "[component.ingest]\n",
            &format!("{}[component.ingest]\n", one.repeat(TRIGGERS)),
        );
        let app = parse(Path::new("app/spin.toml"), &text).unwrap();
        assert_eq!(app.triggers.len(), TRIGGERS + 1);
        let ids: std::collections::BTreeSet<_> = app.triggers.iter().map(|t| &t.id).collect();
        assert_eq!(ids.len(), TRIGGERS + 1);
    }
}
