//! Compares the settings of the topics and of the store with what the pipeline guarantees.

use std::collections::BTreeSet;

use kafka_trigger::TriggerConfig;
use preflight::{Cluster, Error, Warning, check_store, check_topic, check_topic_exists};
use spin_app::App;
use spin_app::variables::Variables;
use spin_kafka_trigger::{Config, FailedRecords, is_pattern};

/// The variable that holds the store's URL.
const STORE: &str = "valkey_url";

/// The variable that holds the certificates of the authorities for the store's TLS.
const AUTHORITIES: &str = "valkey_ca";

/// The topics and the store whose settings are checked.
pub struct PreflightChecks {
    topics: Vec<Topic>,
    /// Topics for dead letters, which must exist before the first letter is written.
    for_letters: Vec<Topic>,
    /// The URL of Valkey, if the application uses it, and the certificates for TLS.
    store: Option<(String, String)>,
}

struct Topic {
    name: String,
    cluster: Cluster,
}

impl PreflightChecks {
    /// The topics that these triggers name, and the store in the application's variable
    /// `valkey_url`.
    pub fn new(app: &App, triggers: &[TriggerConfig], variables: &Variables) -> Self {
        let topic = |engine: &Config, name: &str| Topic {
            name: name.into(),
            cluster: Cluster {
                brokers: engine.brokers.clone(),
                client: engine.client.clone(),
                tokens: engine.tokens(),
            },
        };
        let (mut topics, mut for_letters) = (Vec::new(), Vec::new());
        for engine in triggers.iter().map(|trigger| &trigger.engine) {
            let named = || engine.topics.iter().filter(|topic| !is_pattern(topic));
            topics.extend(named().map(|name| topic(engine, name)));
            if engine.failed_records == FailedRecords::DeadLetter {
                // The names of the dead-letter topics of a pattern are not known, unless it has one
                // for all of its topics.
                let letters = engine
                    .topics
                    .iter()
                    .filter(|name| !is_pattern(name) || !engine.dead_letter_topic.is_empty());
                let letters: BTreeSet<_> =
                    letters.map(|name| engine.dead_letter_topic_of(name)).collect();
                for_letters.extend(letters.iter().map(|name| topic(engine, name)));
            }
        }
        let authorities = variables.get(AUTHORITIES).unwrap_or_default();
        let store = variables.get(STORE).filter(|_| app.uses(STORE));
        let store = store.map(|url| (url.into(), authorities.into()));
        Self { topics, for_letters, store }
    }

    /// Logs a warning for each setting that breaks a guarantee.
    pub async fn run(self) {
        for Topic { name, cluster } in &self.topics {
            let checked = check_topic(cluster, name).await;
            log(&format!("topic {name}"), checked);
        }
        for Topic { name, cluster } in &self.for_letters {
            // If the broker does not answer, the check of the topic itself has already logged that.
            if let Err(error) = check_topic_exists(cluster, name).await
                && !error.is_retriable()
            {
                tracing::warn!(%error, "a record that is given up would block its partition");
            }
        }
        if let Some((url, authorities)) = &self.store {
            log("Valkey", check_store(url, authorities).await);
        }
    }
}

fn log(place: &str, checked: Result<Vec<Warning>, Error>) {
    match checked {
        Ok(warnings) => {
            for warning in warnings {
                tracing::warn!(place, "{warning}");
            }
        }
        Err(error) => tracing::warn!(place, %error, "the settings could not be checked"),
    }
}
