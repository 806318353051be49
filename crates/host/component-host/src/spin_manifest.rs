//! Tests the table of Spin's manifest, `docs/reference/spin-manifest.md`, with a manifest for each
//! field.

use std::collections::BTreeMap;
use std::path::Path;

use spin_app::allowed_hosts::AllowedHosts;
use spin_app::variables::Variables;
use spin_app::{Error, manifest};

use crate::http;

const TABLE: &str = include_str!("../../../../docs/reference/spin-manifest.md");

const APPLICATION: &str = "spin_manifest_version = 2\n[application]\nname = \"a\"\n";
const VARIABLE: &str = "[variables]\nv = { default = \"x\" }\n";
const TRIGGER: &str = "[[trigger.http]]\nroute = \"/\"\ncomponent = \"c\"\n";
const COMPONENT: &str = "[component.c]\nsource = \"c.wasm\"\n";

/// A component at a URL.
const AT_URL: &str = r#"{ url = "https://a/c.wasm", digest = "sha256:0000000000000000000000000000000000000000000000000000000000000000" }"#;

/// The parts of a manifest, to replace or to extend one of them.
struct Parts<'a> {
    application: &'a str,
    more: &'a str,
    trigger: &'a str,
    component: &'a str,
}

impl Default for Parts<'_> {
    fn default() -> Self {
        Self { application: APPLICATION, more: VARIABLE, trigger: TRIGGER, component: COMPONENT }
    }
}

impl Parts<'_> {
    fn text(&self) -> String {
        [self.application, self.more, self.trigger, self.component].join("\n")
    }
}

fn application(line: &str) -> String {
    Parts { application: &format!("{APPLICATION}{line}\n"), ..Parts::default() }.text()
}

fn variable(fields: &str) -> String {
    Parts { more: &format!("[variables]\nv = {{ {fields} }}\n"), ..Parts::default() }.text()
}

/// A manifest with another trigger, after the first one.
fn trigger(table: &str) -> String {
    Parts { trigger: &format!("{TRIGGER}{table}\n"), ..Parts::default() }.text()
}

/// A manifest with another HTTP trigger that has this line.
fn http_trigger(line: &str) -> String {
    trigger(&format!("[[trigger.http]]\ncomponent = \"c\"\n{line}"))
}

/// A manifest with a Redis trigger that has this line.
fn redis_trigger(line: &str) -> String {
    trigger(&format!("[[trigger.redis]]\ncomponent = \"c\"\nchannel = \"c\"\n{line}"))
}

/// A manifest with a component that has this line.
fn component(line: &str) -> String {
    let other = "[component.other]\nsource = \"other.wasm\"\n";
    let component = format!("{other}{COMPONENT}{line}\n");
    Parts { component: &component, ..Parts::default() }.text()
}

fn dependency(value: &str) -> String {
    component(&format!("dependencies = {{ \"a:b/c\" = {value} }}"))
}

fn middleware(value: &str) -> String {
    let other = "[component.other]\nsource = \"other.wasm\"\n";
    http_trigger(&format!("route = \"/m\"\n[trigger.http.dependencies]\n{value}\n{other}"))
}

/// A manifest for each field of the table, in its order.
fn manifests() -> Vec<(&'static str, String)> {
    vec![
        ("spin_manifest_version = 2", Parts::default().text()),
        (
            "spin_manifest_version = 1",
            Parts::default().text().replace("version = 2", "version = 1"),
        ),
        ("application.name", Parts::default().text()),
        ("application.version", application("version = \"1.0.0\"")),
        ("application.description", application("description = \"d\"")),
        ("application.authors", application("authors = [\"Ana\"]")),
        ("application.targets", application("targets = [\"spin-up:3.3\"]")),
        ("application.tool", application("tool.other = { a = 1 }")),
        ("application.trigger.http.base = \"/\"", application("trigger.http = { base = \"/\" }")),
        (
            "application.trigger.http.base, other values",
            application("trigger.http = { base = \"/x\" }"),
        ),
        (
            "application.trigger.redis.address",
            application("trigger.redis = { address = \"redis://a\" }"),
        ),
        ("variables.NAME.default", variable("default = \"a\"")),
        ("variables.NAME.required", variable("required = true")),
        ("variables.NAME.secret", variable("required = true, secret = true")),
        ("variables.NAME.description", variable("default = \"a\", description = \"d\"")),
        ("trigger.http", http_trigger("route = \"/x\"")),
        ("trigger.kafka", trigger("[[trigger.kafka]]\ncomponent = \"c\"\ntopic = \"t\"")),
        ("trigger.amqp", trigger("[[trigger.amqp]]\ncomponent = \"c\"\nqueue = \"q\"")),
        ("trigger.redis.channel", redis_trigger("")),
        ("trigger.redis.address", redis_trigger("address = \"redis://a\"")),
        ("trigger.mqtt", trigger("[[trigger.mqtt]]\ncomponent = \"c\"\ntopic = \"t\"")),
        ("trigger.TYPE.id", http_trigger("route = \"/x\"\nid = \"x\"")),
        ("trigger.TYPE.component, an id", http_trigger("route = \"/x\"")),
        (
            "trigger.TYPE.component, a component",
            trigger("[[trigger.http]]\nroute = \"/x\"\ncomponent = { source = \"d.wasm\" }"),
        ),
        ("trigger.TYPE.components", http_trigger("route = \"/x\"\ncomponents = { x = \"c\" }")),
        (
            "trigger.TYPE.dependencies.middleware, by component or path",
            middleware("middleware = [{ component = \"other\" }, { path = \"m.wasm\" }]"),
        ),
        (
            "trigger.TYPE.dependencies.middleware, by URL with digest",
            middleware(&format!("middleware = [{AT_URL}]")),
        ),
        (
            "trigger.TYPE.dependencies.middleware, by package",
            middleware("middleware = [{ package = \"a:m\", version = \"1.0.0\" }]"),
        ),
        ("trigger.TYPE.dependencies, other roles", middleware("auth = [{ path = \"m.wasm\" }]")),
        ("trigger.http.route, a path", http_trigger("route = \"x\"")),
        ("trigger.http.route, with named segments", http_trigger("route = \"/x/:y/z\"")),
        (
            "trigger.http.route, with a name and other text in a segment",
            http_trigger("route = \"/:name.json\""),
        ),
        ("trigger.http.route, with a trailing wildcard", http_trigger("route = \"/x/...\"")),
        ("trigger.http.route, with another wildcard", http_trigger("route = \"/x/*/y\"")),
        ("trigger.http.route = { private = true }", http_trigger("route = { private = true }")),
        (
            "trigger.http.static_response",
            trigger("[[trigger.http]]\nroute = \"/x\"\nstatic_response = { status_code = 404 }"),
        ),
        (
            "trigger.http.executor = { type = \"http\" }",
            http_trigger("route = \"/x\"\nexecutor = { type = \"http\" }"),
        ),
        (
            "trigger.http.executor = { type = \"wagi\" }",
            http_trigger("route = \"/x\"\nexecutor = { type = \"wagi\" }"),
        ),
        ("component.ID.source, a path", component("")),
        ("component.ID.source, a URL with digest", component("").replace("\"c.wasm\"", AT_URL)),
        (
            "component.ID.source, a package of a registry",
            component("").replace("\"c.wasm\"", "{ package = \"a:b\", version = \"1.0.0\" }"),
        ),
        ("component.ID.description", component("description = \"d\"")),
        ("component.ID.variables", component("variables = { x = \"{{ v }}\" }")),
        ("component.ID.environment", component("environment = { X = \"y\" }")),
        ("component.ID.files, a pattern", component("files = [\"src/**/*.rs\"]")),
        (
            "component.ID.files, a source with a destination",
            component("files = [{ source = \"src/lib.rs\", destination = \"/lib.rs\" }]"),
        ),
        (
            "component.ID.exclude_files",
            component("files = [\"src/*\"]\nexclude_files = [\"src/lib.rs\"]"),
        ),
        ("component.ID.allowed_http_hosts", component("allowed_http_hosts = [\"a\"]")),
        (
            "component.ID.allowed_outbound_hosts",
            component(
                "allowed_outbound_hosts = [\"https://a\", \"tcp://{{ v }}:1..3\", \"*://10.0.0.0/8:*\"]",
            ),
        ),
        (
            "component.ID.allowed_outbound_hosts, with self",
            component("allowed_outbound_hosts = [\"http://self\"]"),
        ),
        (
            "component.ID.allowed_outbound_hosts, with NAME.spin.internal",
            component("allowed_outbound_hosts = [\"http://c.spin.internal\"]"),
        ),
        ("component.ID.key_value_stores", component("key_value_stores = [\"default\"]")),
        ("component.ID.sqlite_databases", component("sqlite_databases = [\"default\"]")),
        ("component.ID.ai_models", component("ai_models = [\"llama2-chat\"]")),
        ("component.ID.targets", component("targets = [\"spin-up:3.3\"]")),
        (
            "component.ID.build",
            component("build = { command = [\"a\", \"b\"], workdir = \"w\", watch = [\"src\"] }"),
        ),
        ("component.ID.tool", component("tool.other = { a = 1 }")),
        (
            "component.ID.dependencies_inherit_configuration",
            component("dependencies_inherit_configuration = true"),
        ),
        ("component.ID.dependencies, by path", dependency("{ path = \"d.wasm\" }")),
        ("component.ID.dependencies, by component", dependency("{ component = \"other\" }")),
        ("component.ID.dependencies, by version", dependency("\">=1.0\"")),
        (
            "component.ID.dependencies, by package",
            dependency("{ package = \"a:d\", version = \"1.0\" }"),
        ),
        ("component.ID.dependencies, by URL with digest", dependency(AT_URL)),
        (
            "component.ID.dependencies.NAME.export",
            dependency("{ path = \"d.wasm\", export = \"d:e/f\" }"),
        ),
        (
            "component.ID.dependencies.NAME.inherit_configuration",
            dependency("{ path = \"d.wasm\", inherit_configuration = [\"variables\"] }"),
        ),
        (
            "component.ID.profile.NAME",
            component("profile.debug = { source = \"d.wasm\", environment = { X = \"z\" } }"),
        ),
    ]
}

/// The fields in the tables, with their second cell.
fn rows() -> Vec<(String, &'static str)> {
    let rows = TABLE.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.filter_map(|row| {
        let (field, rest) = row.split_once(" | ")?;
        Some((field.replace('`', ""), rest.split(" |").next()?))
    });
    cells.collect()
}

/// Everything that the host checks without the files of the components.
fn check(text: &str) -> Result<(), Error> {
    let app = manifest::parse(&Path::new(env!("CARGO_MANIFEST_DIR")).join("spin.toml"), text)?;
    app.check_triggers(&["http", "kafka", "amqp", "redis"])?;
    app.check_support()?;
    http::check_triggers(&app)?;
    let variables = Variables::resolve(&app.variables, |_| Some("v".into()));
    for component in &app.components {
        let hosts = &component.metadata.allowed_outbound_hosts;
        AllowedHosts::parse(&component.id, hosts, &variables)?;
    }
    Ok(())
}

#[test]
fn the_host_does_with_each_field_what_the_table_says() {
    let (rows, manifests) = (rows(), manifests());
    let fields = rows.iter().map(|(field, _)| field.as_str());
    let tested = manifests.iter().map(|(field, _)| *field);
    assert_eq!(fields.collect::<Vec<_>>(), tested.collect::<Vec<_>>());
    let manifests: BTreeMap<_, _> = manifests.into_iter().collect();
    let mut wrong = Vec::new();
    for (field, expected) in rows {
        let checked = check(&manifests[field.as_str()]).map_err(|error| error.to_string());
        // The error names the last part of the field, perhaps in the singular.
        let name = field.split([',', ' ']).next().unwrap_or_default();
        let name = name.rsplit('.').find(|part| part.chars().all(|c| !c.is_uppercase()));
        let name = name.unwrap_or_default().trim_end_matches("ies");
        let is_right = match (expected, &checked) {
            ("same" | "different", Ok(())) => true,
            ("refused", Err(error)) => error.contains(name),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{field}: {expected}, but {checked:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
