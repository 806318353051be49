//! What the topics and the store are set to, held against what is promised.

use std::collections::BTreeMap;

use preflight::{Error, Warning, check_store, check_topic};

/// What is looked at.
pub struct Checks {
    /// Kafka's bootstrap brokers.
    pub brokers: String,
    /// Each topic, and the client's properties for it.
    pub topics: Vec<(String, BTreeMap<String, String>)>,
    /// Valkey's URL, if the application uses it.
    pub store: Option<String>,
}

impl Checks {
    /// Warns of every setting that cannot keep the promise.
    pub async fn run(self) {
        for (topic, client) in &self.topics {
            let checked = check_topic(&self.brokers, client, topic).await;
            say(&format!("topic {topic}"), checked);
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
