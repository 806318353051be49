//! What the topics and the store are set to, held against what is promised.

use std::collections::BTreeMap;

use component_host::App;
use component_host::variables::Variables;
use preflight::{Error, Warning, check_store, check_topic};
use spin_kafka_trigger::is_pattern;
use trigger_kafka::TriggerConfig;

/// The variable that holds the store's URL.
const STORE: &str = "valkey_url";

/// What is looked at.
pub struct Checks {
    topics: Vec<Topic>,
    /// Valkey's URL, if the application uses it.
    store: Option<String>,
}

struct Topic {
    name: String,
    brokers: String,
    /// The client's properties.
    client: BTreeMap<String, String>,
}

impl Checks {
    /// The topics of these triggers that are named, and the store that the application's
    /// variable `valkey_url` names.
    pub fn of(app: &App, triggers: &[TriggerConfig], variables: &Variables) -> Self {
        let topics = triggers.iter().flat_map(|trigger| {
            let engine = &trigger.engine;
            engine.topics.iter().filter(|topic| !is_pattern(topic)).map(|name| Topic {
                name: name.clone(),
                brokers: engine.brokers.clone(),
                client: (&engine.client).into(),
            })
        });
        let store = variables.get(STORE).filter(|_| app.uses(STORE)).map(Into::into);
        Self { topics: topics.collect(), store }
    }

    /// Warns of every setting that cannot keep the promise.
    pub async fn run(self) {
        for Topic { name, brokers, client } in &self.topics {
            let checked = check_topic(brokers, client, name).await;
            say(&format!("topic {name}"), checked);
        }
        if let Some(url) = &self.store {
            say("Valkey", check_store(url).await);
        }
    }
}

fn say(place: &str, checked: Result<Vec<Warning>, Error>) {
    match checked {
        Ok(warnings) => {
            for warning in warnings {
                tracing::warn!(place, "{warning}");
            }
        }
        Err(error) => tracing::warn!(place, %error, "the settings could not be checked"),
    }
}
