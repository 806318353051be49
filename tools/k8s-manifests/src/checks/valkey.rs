//! Checks that Valkey's members, settings, users and URLs agree with each other.

use anyhow::Result;
use regex::Regex;
use serde_json::Value;

use super::sources::{secret, variable};
use crate::acl::{Line, parse};
use crate::object::{Finding, Object, find, list, of_kind, text};

const SET: &str = "valkey";
const HOSTS: &str = "valkey-hosts";
const SERVER: &str = "valkey-server";
const URLS: &str = "valkey-urls";

/// Settings that the guarantee requires; see docs/guide/operations.md.
const SETTINGS: [&str; 3] =
    ["appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"];

/// The violations of these rules.
pub fn check(objects: &[Object]) -> Result<Vec<Finding>> {
    let mut found = Vec::new();
    let (Some(set), Some(hosts)) =
        (find(objects, "StatefulSet", SET), find(objects, "ConfigMap", HOSTS))
    else {
        return Ok(found);
    };
    let acl = secret(objects, SERVER, "users.acl").unwrap_or_default();
    let users: Vec<Line<'_>> = parse(&acl).collect();
    found.extend(members(set, hosts));
    found.extend(settings(objects));
    found.extend(urls(objects, hosts, &users)?);
    found.extend(passwords(objects, &users));
    found.extend(readers(objects, &users));
    found.extend(grafana(objects, &users));
    found.extend(of_kind(objects, "SpinApp").filter_map(|app| prefix(objects, app)));
    Ok(found)
}

/// The list of members, the number of pods, and the quorum.
fn members(set: &Object, hosts: &Object) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut wrong = |place: &str, message: String| found.push(hosts.finding(place, message));
    let names: Vec<&str> = hosts.text("data.hosts").split_whitespace().collect();
    let replicas = set.at("spec.replicas").as_u64().unwrap_or_default();
    if names.len() as u64 != replicas {
        wrong("data.hosts", format!("names {} members of {replicas}", names.len()));
    }
    let with_port: Vec<String> = names.iter().map(|name| format!("{name}:6379")).collect();
    if hosts.text("data.addresses") != with_port.join(",") {
        wrong("data.addresses", "must be every host with the port 6379".into());
    }
    let majority = replicas / 2 + 1;
    if hosts.text("data.quorum") != majority.to_string() {
        wrong("data.quorum", format!("must be the majority, {majority}"));
    }
    let least = replicas.saturating_sub(1).min(1);
    if hosts.text("data.replicas_min") != least.to_string() {
        wrong("data.replicas_min", format!("must be {least} with {replicas} members"));
    }
    found
}

fn settings(objects: &[Object]) -> Vec<Finding> {
    let mut found = Vec::new();
    for map in of_kind(objects, "ConfigMap") {
        let Some(conf) = map.at("data").get("valkey.conf").and_then(Value::as_str) else {
            continue;
        };
        let missing = SETTINGS.iter().filter(|setting| !conf.lines().any(|line| line == **setting));
        found.extend(missing.map(|s| map.finding("data.valkey.conf", format!("lacks `{s}`"))));
    }
    found
}

/// Every URL must contain all members, and a user with the correct password.
fn urls(objects: &[Object], hosts: &Object, users: &[Line<'_>]) -> Result<Vec<Finding>> {
    let shape = Regex::new("^redis://([a-z]+):([0-9a-f]+)@([^/]+)$")?;
    let Some(object) = find(objects, "Secret", URLS) else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    for (key, _) in crate::object::entries(&object.0, "data") {
        let place = format!("data.{key}");
        let url = secret(objects, URLS, key).unwrap_or_default();
        let Some(parts) = shape.captures(&url) else {
            found.push(object.finding(&place, "must be redis://user:password@host:port,…"));
            continue;
        };
        let part = |index| parts.get(index).map_or("", |part| part.as_str());
        found.extend(login(object, &place, users, part(1), part(2)));
        if *key != format!("valkey-{}-url", part(1)) {
            found.push(object.finding(&place, format!("is for the user {}", part(1))));
        }
        if part(3) != hosts.text("data.addresses") {
            let message = format!(
                "its members are not those in {HOSTS}: delete the file and create it again"
            );
            found.push(object.finding(&place, message));
        }
    }
    Ok(found)
}

fn login(
    object: &Object,
    place: &str,
    users: &[Line<'_>],
    user: &str,
    password: &str,
) -> Option<Finding> {
    let message = match users.iter().find(|line| line.name == user) {
        None => format!("the ACL file has no user {user}"),
        Some(line) if !line.takes(password) => {
            format!("the ACL file has another password for {user}")
        }
        Some(_) => return None,
    };
    Some(object.finding(place, message))
}

fn passwords(objects: &[Object], users: &[Line<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (name, key, user) in [
        (SERVER, "replication-password", "replication"),
        (SERVER, "sentinel-password", "sentinel"),
        ("grafana", "valkey-password", "grafana"),
    ] {
        let (Some(object), Some(password)) =
            (find(objects, "Secret", name), secret(objects, name, key))
        else {
            continue;
        };
        found.extend(login(object, &format!("data.{key}"), users, user, &password));
    }
    if let Some(object) = find(objects, "Secret", SERVER) {
        let default = users.iter().find(|line| line.name == "default");
        if default.is_none_or(|line| line.words != ["off"]) {
            found.push(object.finding("data.users.acl", "the user default must be off"));
        }
    }
    found
}

/// Users who may not write.
const READERS: [&str; 3] = ["audit", "dashboard", "grafana"];

fn readers(objects: &[Object], users: &[Line<'_>]) -> Vec<Finding> {
    let writes = |word: &&&str| {
        word.starts_with('~')
            || word.starts_with("%W")
            || word.starts_with("%RW")
            || ***word == *"allkeys"
    };
    let Some(object) = find(objects, "Secret", SERVER) else { return Vec::new() };
    let readers = users.iter().filter(|line| READERS.contains(&line.name));
    let writers = readers.filter_map(|line| Some((line.name, line.words.iter().find(writes)?)));
    let message = |(name, word)| format!("{name} may write: {word}");
    writers.map(|writer| object.finding("data.users.acl", message(writer))).collect()
}

/// The users may use only the keys without a prefix, and Grafana's dashboard reads these.
fn prefix(objects: &[Object], app: &Object) -> Option<Finding> {
    let prefix = variable(objects, app, "key_prefix").filter(|prefix| !prefix.is_empty())?;
    let message = format!(
        "key_prefix is `{prefix}`, but the users of Valkey and Grafana's dashboard have only the \
         keys without a prefix"
    );
    Some(app.finding("spec.variables", message))
}

/// The user for Grafana must be able to read the keys of the dashboards.
fn grafana(objects: &[Object], users: &[Line<'_>]) -> Vec<Finding> {
    let mut found = Vec::new();
    let Some(line) = users.iter().find(|line| line.name == "grafana") else { return found };
    for map in of_kind(objects, "ConfigMap") {
        for (file, text_of) in crate::object::entries(&map.0, "data") {
            let Some(dashboard) = text_of.as_str().filter(|_| file.ends_with(".json")) else {
                continue;
            };
            let place = format!("data.{file}");
            match serde_json::from_str(dashboard) {
                Ok(dashboard) => found.extend(panels(map, &place, &dashboard, line)),
                Err(error) => found.push(map.finding(&place, error.to_string())),
            }
        }
    }
    found
}

fn panels(map: &Object, place: &str, dashboard: &Value, user: &Line<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for panel in list(dashboard, "panels") {
        let reads_valkey = |target: &&Value| text(target, "datasource.type") == "redis-datasource";
        for target in list(panel, "targets").iter().filter(reads_valkey) {
            let (key, command) = (text(target, "keyName"), text(target, "command"));
            let title = text(panel, "title");
            if !key.is_empty() && !user.reads(key) {
                let message = format!("panel `{title}`: grafana may not read {key}");
                found.push(map.finding(place, message));
            }
            if !user.words.contains(&format!("+{command}").as_str()) {
                let message = format!("panel `{title}`: grafana may not use {command}");
                found.push(map.finding(place, message));
            }
        }
    }
    found
}
