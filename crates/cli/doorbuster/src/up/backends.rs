//! Kafka and Valkey for the pipeline: existing servers, or embedded ones.

use std::collections::BTreeMap;
use std::future::pending;

use anyhow::{Context as _, Error, Result, bail};
use child_server::{Valkey, ValkeyConfig};
use kafka_trigger::TriggerConfig;
use runner::RunOptions;
use spin_app::App;
use valkey_codec::Servers;

use super::args::Args;
use super::embedded::EmbeddedKafka;
use super::topics;

/// The variables with the addresses of the application's brokers and store.
const BROKERS: &str = "kafka_brokers";
const STORE: &str = "valkey_url";
const STORE_ADDRESS: &str = "valkey_address";

const NO_VALKEY: &str = "no valkey-server or redis-server on the PATH: install one, or give the \
                         address of a server with --valkey redis://HOST:PORT";

/// The servers of the application's records and results.
pub struct Backends {
    /// The embedded broker, if there is one.
    kafka: Option<EmbeddedKafka>,
    /// The Valkey server, if this program started it.
    valkey: Option<Box<Valkey>>,
    /// `host:port[,…]`, if the application uses Kafka.
    brokers: Option<String>,
    /// The URL of Valkey, if the application uses it.
    valkey_url: Option<String>,
    /// The servers in the URL.
    valkey_servers: Option<Servers>,
}

impl Backends {
    /// Uses the given servers, and starts those that the application uses and that are not given.
    /// Valkey may not answer yet: see [`Backends::ready`].
    pub fn start(args: &Args, app: &App, options: &RunOptions) -> Result<Self> {
        for (flag, variable) in [("--kafka", BROKERS), ("--valkey", STORE)] {
            let is_given = if variable == BROKERS { &args.kafka } else { &args.valkey };
            if is_given.is_some() && !app.uses(variable) {
                tracing::warn!(
                    "{flag} has no effect: nothing that is started uses the variable `{variable}`"
                );
            }
        }
        let given = |variable: &str, flag: &Option<String>| match flag {
            _ if !app.uses(variable) => Ok(None),
            Some(value) => Ok(Some(value.clone())),
            None => options.given(app, variable),
        };
        let mut backends = Self {
            kafka: None,
            valkey: None,
            brokers: given(BROKERS, &args.kafka)?,
            valkey_url: given(STORE, &args.valkey)?,
            valkey_servers: None,
        };
        let missing = |variable, known: &Option<String>| -> Result<bool> {
            let missing = known.is_none() && app.uses(variable);
            if missing && args.no_embedded {
                let name = variable.to_ascii_uppercase();
                bail!("the variable `{variable}` has no value; give it in SPIN_VARIABLE_{name}");
            }
            Ok(missing)
        };
        if missing(BROKERS, &backends.brokers)? {
            let kafka = EmbeddedKafka::start()?;
            backends.brokers = Some(kafka.bootstrap());
            backends.kafka = Some(kafka);
        }
        if missing(STORE, &backends.valkey_url)? {
            let program = Valkey::on_path().context(NO_VALKEY)?;
            let valkey = Valkey::launch(&program, ValkeyConfig::default());
            let valkey = valkey.context("cannot start Valkey")?;
            backends.valkey_url = Some(valkey.url());
            backends.valkey = Some(Box::new(valkey));
        }
        let servers = backends.valkey_url.as_deref().map(Servers::parse).transpose();
        backends.valkey_servers = servers.context("--valkey, or the variable `valkey_url`")?;
        Ok(backends)
    }

    /// Waits until the started servers answer, and creates the topics of the triggers that are
    /// missing, and those of their dead letters. Returns the triggers whose brokers do not answer:
    /// if an application and its brokers start at the same time, it starts without them and is not
    /// ready yet.
    pub async fn ready(&mut self, triggers: &[TriggerConfig]) -> Result<Vec<TriggerConfig>> {
        let Self { kafka, valkey, .. } = self;
        let valkey = async {
            match valkey {
                Some(valkey) => valkey.ready().await.context("cannot start Valkey"),
                None => Ok(()),
            }
        };
        let topics = async {
            match kafka {
                Some(kafka) => create_topics(kafka, triggers).await.map(|()| Vec::new()),
                None => topics::ensure_all(triggers).await,
            }
        };
        let ((), later) = tokio::try_join!(valkey, topics)?;
        Ok(later)
    }

    /// Kafka's bootstrap brokers.
    pub fn brokers(&self) -> Option<&str> {
        self.brokers.as_deref()
    }

    /// Valkey's URL without user and password.
    pub fn valkey_public_url(&self) -> Option<String> {
        self.valkey_servers.as_ref().map(Servers::public_url)
    }

    /// Whether the records are stored in the embedded broker, and so only in memory.
    pub fn are_temporary(&self) -> bool {
        self.kafka.is_some()
    }

    /// The variables with the addresses of the backends, if the application declares them.
    pub fn variables(
        &self,
        args: &Args,
        app: &App,
        options: &RunOptions,
    ) -> Result<BTreeMap<String, String>> {
        let mut known = BTreeMap::new();
        known.extend(self.brokers.clone().map(|brokers| (BROKERS.to_owned(), brokers)));
        known.extend(self.valkey_url.clone().map(|url| (STORE.to_owned(), url)));
        if let Some(servers) = &self.valkey_servers
            && app.variables.contains_key(STORE_ADDRESS)
        {
            let is_ours = args.valkey.is_some() || self.valkey.is_some();
            let is_given = options.given(app, STORE_ADDRESS)?.is_some();
            let address = store_address(servers, is_ours, is_given)?;
            known.extend(address.map(|address| (STORE_ADDRESS.to_owned(), address)));
        }
        known.retain(|name, _| app.variables.contains_key(name));
        Ok(known)
    }

    /// Resolves when a server that was started ends unexpectedly, with an error that describes it.
    /// Never resolves if no server was started.
    pub fn ended(&mut self) -> impl Future<Output = Error> + Send {
        let valkey = self.valkey.as_mut();
        async move {
            match valkey {
                Some(valkey) => valkey.ended().await,
                None => pending().await,
            }
        }
    }

    /// Stops the started server, if it still runs.
    pub async fn stop(self) -> Result<()> {
        if let Some(mut valkey) = self.valkey
            && !valkey.has_ended()?
        {
            valkey.stop().await.context("Valkey did not stop cleanly")?;
        }
        Ok(())
    }
}

/// The store's address, if it is to be derived from the URL: if the URL is that of `--valkey` or of a
/// started server, or if no address is given. With Sentinel, the URL does not contain the addresses
/// of the primary and its replicas, so they must be given.
fn store_address(servers: &Servers, is_ours: bool, is_given: bool) -> Result<Option<String>> {
    match servers.service() {
        Some(_) if is_given => Ok(None),
        Some(_) => bail!(
            "with Sentinel, set the variable `{STORE_ADDRESS}` to the addresses of the Sentinels, \
             of the primary and of its replicas"
        ),
        None => Ok((is_ours || !is_given).then(|| servers.to_string())),
    }
}

async fn create_topics(kafka: &EmbeddedKafka, triggers: &[TriggerConfig]) -> Result<()> {
    for topic in triggers.iter().flat_map(topics::needed) {
        kafka.create_topic(&topic.name, topic.partitions).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str, is_ours: bool, is_given: bool) -> Result<Option<String>> {
        store_address(&Servers::parse(url).unwrap(), is_ours, is_given)
    }

    #[test]
    fn the_address_is_that_of_the_url_unless_it_is_given() {
        let url = "redis://a,b:1";
        for (is_ours, is_given) in [(true, true), (true, false), (false, false)] {
            assert_eq!(address(url, is_ours, is_given).unwrap().as_deref(), Some("a:6379,b:1"));
        }
        assert_eq!(address(url, false, true).unwrap(), None);
    }

    #[test]
    fn with_sentinel_the_address_must_be_given() {
        let url = "redis+sentinel://a/shop";
        for is_ours in [true, false] {
            assert_eq!(address(url, is_ours, true).unwrap(), None);
            let error = address(url, is_ours, false).unwrap_err().to_string();
            assert!(error.contains("`valkey_address`"), "{error}");
        }
    }
}
