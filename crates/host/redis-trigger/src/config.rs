//! Reads `[application.trigger.redis]` and `[[trigger.redis]]`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use spin_app::app::{App, Trigger};
use spin_app::variables::Variables;
use valkey_codec::Servers;

use crate::Error;

/// The type of the triggers in a manifest.
const TYPE: &str = "redis";

/// What the triggers of an application subscribe to at one address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    /// The server; of several servers, or with Sentinel, the primary.
    pub servers: Servers,
    /// The components that get the messages of each channel.
    pub channels: BTreeMap<String, Vec<String>>,
}

/// `[application.trigger.redis]`.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct CommonSettings {
    /// The address for triggers that have none.
    address: Option<String>,
}

/// `[[trigger.redis]]`, without `component`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    channel: String,
    address: Option<String>,
}

impl ServerConfig {
    /// Reads all Redis triggers of the application, with their variables resolved. Triggers with the
    /// same address are together.
    pub fn read_all(app: &App, variables: &Variables) -> Result<Vec<Self>, Error> {
        let mut servers: Vec<Self> = Vec::new();
        // Without triggers the common settings have no effect, and their variables may be missing.
        if app.triggers(TYPE).next().is_none() {
            return Ok(servers);
        }
        let common = common_address(app, variables)?;
        for trigger in app.triggers(TYPE) {
            let fault = |message| Error::Config {
                place: app.origin.place(&format!("trigger.{}", trigger.id)),
                field: format!("trigger.{TYPE}"),
                message,
            };
            let settings = variables.render_map(&trigger.settings())?;
            let (address, channel) = parse(settings, common.as_deref()).map_err(fault)?;
            let index = servers.iter().position(|server| server.servers == address);
            let index = index.unwrap_or_else(|| {
                servers.push(Self { servers: address, channels: BTreeMap::new() });
                servers.len() - 1
            });
            if let Some(server) = servers.get_mut(index) {
                server.channels.entry(channel).or_default().push(component(trigger));
            }
        }
        Ok(servers)
    }
}

fn component(trigger: &Trigger) -> String {
    trigger.component().unwrap_or_default().into()
}

/// The address for triggers that have none.
fn common_address(app: &App, variables: &Variables) -> Result<Option<String>, Error> {
    let settings = app.metadata.triggers.get(TYPE).cloned().unwrap_or_default();
    let field = format!("application.trigger.{TYPE}");
    let settings = variables.render_map(&settings)?;
    let settings = deserialize::<CommonSettings>(settings);
    let settings = settings.map_err(|message| Error::Config {
        place: app.origin.place(&field),
        field: field.clone(),
        message,
    })?;
    Ok(settings.address)
}

/// The address and the channel of a trigger.
fn parse(settings: Map<String, Value>, common: Option<&str>) -> Result<(Servers, String), String> {
    let Settings { channel, address } = deserialize(settings)?;
    if channel.is_empty() {
        return Err("`channel` is empty; write the name of a channel".into());
    }
    let address = address.as_deref().or(common).ok_or(
        "`address` is missing; write it here or in [application.trigger.redis], such as \
         address = \"redis://localhost:6379\"",
    )?;
    // The error does not quote the address, because it may contain a password.
    let servers = Servers::parse(address).map_err(|error| format!("`address`: {error}"))?;
    Ok((servers, channel))
}

fn deserialize<T: DeserializeOwned>(settings: Map<String, Value>) -> Result<T, String> {
    T::deserialize(Value::Object(settings)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn read(common: &str, triggers: &str) -> Result<Vec<ServerConfig>, Error> {
        let manifest = format!(
            r#"
            spin_manifest_version = 2
            [application]
            name = "messages"
            {common}
            [variables]
            password = {{ default = "hunter2" }}
            channel = {{ default = "news" }}
            {triggers}
            [component.a]
            source = "a.wasm"
            [component.b]
            source = "b.wasm"
            "#
        );
        let app = spin_app::manifest::parse(Path::new("spin.toml"), &manifest).unwrap();
        let variables = Variables::resolve(&app.variables, |_| None);
        ServerConfig::read_all(&app, &variables)
    }

    fn trigger(component: &str, settings: &str) -> String {
        format!("[[trigger.redis]]\ncomponent = \"{component}\"\n{settings}\n")
    }

    const COMMON: &str =
        "[application.trigger.redis]\naddress = \"redis://:{{ password }}@127.0.0.1\"";

    #[test]
    fn triggers_are_grouped_by_address_and_channel() {
        let triggers = [
            trigger("a", "channel = '{{ channel }}'"),
            trigger("b", "channel = 'news'\naddress = 'redis://:{{ password }}@127.0.0.1:6379'"),
            trigger("b", "channel = 'other'"),
            trigger("b", "channel = 'news'\naddress = 'rediss://redis.example.com'"),
        ];
        let read = read(COMMON, &triggers.concat()).unwrap();
        let channels = |list: &[(&str, &[&str])]| -> BTreeMap<String, Vec<String>> {
            let owned = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect();
            list.iter().map(|(channel, ids)| ((*channel).to_owned(), owned(ids))).collect()
        };
        let expected = [
            ("redis://:hunter2@127.0.0.1", channels(&[("news", &["a", "b"]), ("other", &["b"])])),
            ("rediss://redis.example.com", channels(&[("news", &["b"])])),
        ]
        .map(|(url, channels)| ServerConfig { servers: Servers::parse(url).unwrap(), channels });
        assert_eq!(read, expected);
    }

    #[test]
    fn without_triggers_nothing_is_read() {
        let common = "[application.trigger.redis]\naddress = \"{{ unknown }}\"";
        assert_eq!(read(common, "").unwrap(), []);
    }

    #[test]
    fn a_wrong_setting_is_reported_with_its_place_and_without_the_password() {
        for (common, settings, part) in [
            (COMMON, "", "missing field `channel`"),
            (COMMON, "channel = ''", "`channel` is empty"),
            (COMMON, "channel = 3", "string"),
            (COMMON, "channel = 'a'\nqueue = 'a'", "unknown field `queue`"),
            (COMMON, "channel = 'a'\naddress = 'hunter2'", "`address`"),
            (COMMON, "channel = 'a'\naddress = 'redis://h?hunter2'", "`address`"),
            ("", "channel = 'a'", "`address` is missing"),
            (
                "[application.trigger.redis]\nchannel = 'a'",
                "channel = 'a'",
                "application.trigger.redis: unknown field `channel`",
            ),
        ] {
            let error = read(common, &trigger("a", settings)).unwrap_err().to_string();
            let is_placed = error.contains("spin.toml") && error.contains("trigger.redis: ");
            assert!(is_placed && error.contains(part), "{part}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
