//! The parser of `spin.toml`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use spin_app::allowed_hosts::AllowedHosts;
use spin_app::variables::Variables;
use spin_app::{App, manifest};

const PATH: &str = "/app/spin.toml";

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match manifest::parse(Path::new(PATH), text) {
        Ok(app) => {
            check_names(&app);
            check_locked(&app);
            check_rights(&app);
        }
        Err(error) => check_fault(&error.to_string(), text),
    }
}

/// Checks that an error names the file and an existing line.
fn check_fault(fault: &str, text: &str) {
    let place = fault.strip_prefix(PATH).and_then(|rest| rest.strip_prefix(':'));
    let line = place.and_then(|rest| rest.split(':').next());
    let line: usize = line.and_then(|line| line.parse().ok()).expect(fault);
    assert!((1..=text.matches('\n').count() + 1).contains(&line), "{fault}");
}

fn check_names(app: &App) {
    let is_name = |name: &str, separator: u8| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == separator)
    };
    let ids: BTreeSet<&str> =
        app.components.iter().map(|component| component.id.as_str()).collect();
    assert_eq!(ids.len(), app.components.len());
    assert!(ids.iter().all(|id| is_name(id, b'-')), "{ids:?}");
    assert!(app.variables.keys().all(|name| is_name(name, b'_')));
    let triggers: BTreeSet<&str> = app.triggers.iter().map(|trigger| trigger.id.as_str()).collect();
    assert_eq!(triggers.len(), app.triggers.len());
    assert!(app.triggers.iter().all(|t| t.component().is_some_and(|id| ids.contains(id))));
}

/// Checks that the same application results from its lock file.
pub fn check_locked(app: &App) {
    let locked = serde_json::to_vec(app).unwrap();
    let again = App::from_json(Path::new("spin.lock"), &locked).unwrap();
    let value: Value = serde_json::from_slice(&locked).unwrap();
    assert_eq!(serde_json::to_value(&again).unwrap(), value);
    assert_eq!(again.started().count(), app.started().count());
}

/// Checks the allowed hosts with default variables: every entry is either refused or valid.
pub fn check_rights(app: &App) {
    let _ = app.check_triggers(&["http", "kafka"]);
    assert!(!app.uses("no such variable"));
    let variables = Variables::resolve(&app.variables, |_| None);
    for component in &app.components {
        let hosts = &component.metadata.allowed_outbound_hosts;
        if let Ok(allowed) = AllowedHosts::parse(&component.id, hosts, &variables) {
            assert!(!hosts.is_empty() || !allowed.allows("http", "localhost", 80));
        }
        let rendered: Option<BTreeMap<String, String>> =
            variables.render_all(&component.config).ok();
        assert!(rendered.is_none_or(|rendered| rendered.len() == component.config.len()));
    }
}
