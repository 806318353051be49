//! What is counted again: the component of a trigger, and the store that it counts in.

use anyhow::Result;
use kafka_trigger::TriggerConfig;
use spin_app::App;
use spin_app::variables::Variables;

use super::private_run::live_store;
use super::{Build, Live, PrivateRun, PrivateStore, Topics};
use crate::application::Application;

/// The variable of the aggregator with the start of the names of all of its keys, without the colon
/// after it.
const KEY_PREFIX: &str = "key_prefix";

/// Which application and which store.
#[derive(clap::Args)]
pub struct SubjectArgs {
    #[command(flatten)]
    pub application: Application,
    /// Valkey in which the application counts. By default that of the component's variable
    /// `valkey_url`.
    #[arg(
        long,
        value_name = "redis://HOST:PORT[,…]",
        hide_env_values = true,
        env = "DOORBUSTER_VALKEY"
    )]
    pub valkey: Option<String>,
    /// Valkey without authentication to use as the private store, in place of one that this program
    /// starts. Its content is deleted.
    #[arg(long, value_name = "redis://HOST:PORT", env = "DOORBUSTER_PRIVATE_VALKEY")]
    private_valkey: Option<String>,
    /// Do not compare keys that begin with this text, in addition to `audit_ignore` of the
    /// component. May be repeated.
    #[arg(long, value_name = "PREFIX")]
    pub ignore: Vec<String>,
}

/// The component of a trigger.
pub struct Subject {
    app: App,
    variables: Variables,
    pub trigger: TriggerConfig,
    /// Beginnings of the names of keys that are not compared.
    pub ignored: Vec<String>,
    valkey: Option<String>,
    private_valkey: Option<String>,
}

impl Subject {
    pub async fn read(args: &SubjectArgs) -> Result<Self> {
        let (app, variables) = args.application.read().await?;
        let trigger = args.application.trigger(&app, &variables)?;
        let mut ignored = args.ignore.clone();
        if let Some(component) = app.component(&trigger.component) {
            let prefix = component.config.get(KEY_PREFIX).map(|prefix| variables.render(prefix));
            let prefix = prefix.transpose()?.unwrap_or_default();
            ignored.extend(named(&component.audit_ignore, &prefix));
        }
        Ok(Self {
            app,
            variables,
            trigger,
            ignored,
            valkey: args.valkey.clone(),
            private_valkey: args.private_valkey.clone(),
        })
    }

    /// The topics of the trigger.
    pub async fn topics(&self) -> Result<Topics> {
        Topics::query(&self.trigger.engine).await
    }

    /// The store that the application counts in.
    pub fn live(&self) -> Result<Live> {
        let (url, authorities) = live_store(&self.app, &self.variables, &self.trigger.component)?;
        Live::new(self.valkey.as_deref().unwrap_or(&url), authorities)
    }

    /// Starts a build of the component with a private store.
    pub async fn start(&self, build: Build<'_>) -> Result<PrivateRun> {
        let store = match &self.private_valkey {
            Some(url) => PrivateStore::existing(url, self.live()?.connection().await?).await?,
            None => PrivateStore::start().await?,
        };
        self.start_in(build, store).await
    }

    /// Starts a build of the component with this store.
    pub async fn start_in(&self, build: Build<'_>, store: PrivateStore) -> Result<PrivateRun> {
        PrivateRun::start(&self.app, &self.variables, &self.trigger, build, store).await
    }
}

/// The beginnings of the keys that a component names, without the prefix of its keys and with it.
fn named(entries: &[String], prefix: &str) -> Vec<String> {
    let mut named = entries.to_vec();
    if !prefix.is_empty() {
        named.extend(entries.iter().map(|entry| format!("{prefix}:{entry}")));
    }
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_of_the_keys_is_put_before_the_names_of_ignored_ones() {
        let entries = ["seen:".to_owned()];
        assert_eq!(named(&entries, ""), ["seen:"]);
        assert_eq!(named(&entries, "shop"), ["seen:", "shop:seen:"]);
    }
}
