//! A component with a private store.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result, anyhow, ensure};
use child_server::Valkey;
use component_host::output::Outputs;
use component_host::{Capability, CompileCache, Host, Limits};
use kafka_schema::{SchemaConfig, SchemaHandler};
use kafka_trigger::{GuestHandler, KafkaTrigger, TriggerConfig};
use redis::aio::MultiplexedConnection;
use sha2::{Digest as _, Sha256};
use spin_app::App;
use spin_app::app::Source;
use spin_app::variables::Variables;
use spin_kafka_trigger::{Config, FailedRecords, Metrics, Summary, Trigger};
use valkey_codec::Servers;
use valkey_provider::ValkeyProvider;

use super::observer::Observed;
use super::{Observer, PositionKeys, Positions, PrivateStore, Topics};
use crate::application::without_producers;

/// The variables of a component with the address of its store, and with the certificates for it.
const STORE: &str = "valkey_url";
const AUTHORITIES: &str = "valkey_ca";

/// Time without progress after which a recount is given up. The engine itself waits for brokers and
/// for the component without a limit.
const STALL_LIMIT: Duration = Duration::from_secs(120);

/// Which build of the component runs.
#[derive(Debug, Clone, Copy)]
pub enum Build<'a> {
    /// The one in the application.
    Present,
    /// The one in this file.
    File(&'a Path),
}

/// A component that counts in a private store.
pub struct PrivateRun {
    config: Config,
    schema: Option<SchemaConfig>,
    guest: GuestHandler,
    connection: MultiplexedConnection,
    source: Source,
    /// Where a partition begins that was not counted yet.
    starts: Positions,
    /// The components run as long as it exists.
    _host: Host,
    _valkey: Option<Valkey>,
}

impl PrivateRun {
    /// Loads the component. It can connect to nothing but this store.
    pub async fn start(
        app: &App,
        variables: &Variables,
        trigger: &TriggerConfig,
        build: Build<'_>,
        store: PrivateStore,
    ) -> Result<Self> {
        let PrivateStore { url, connection, process } = store;
        let mut app = app.clone();
        app.retain_components(std::slice::from_ref(&trigger.component))?;
        without_producers(&mut app);
        let address = Servers::parse(&url)?.to_string();
        let mut source = None;
        for component in &mut app.components {
            component.metadata.allowed_outbound_hosts = vec![format!("tcp://{address}")];
            component.config.insert(STORE.into(), url.clone());
            component.config.insert(AUTHORITIES.into(), String::new());
            if let Build::File(path) = build {
                component.source = Source::file(&absolute(path)?);
            }
            source = Some(component.source.clone());
        }
        let capabilities: [Arc<dyn Capability>; 1] = [Arc::new(ValkeyProvider::default())];
        let variables = variables.clone();
        let load = move || {
            let (limits, cache) = (Limits::default(), CompileCache::UserFolder);
            Host::load(&app, &variables, limits, Outputs::default(), &cache, &capabilities)
        };
        let host = tokio::task::spawn_blocking(load).await.context("loading failed")??;
        let guest = KafkaTrigger::new(trigger.clone(), &host)?.observed().handler.clone();
        Ok(Self {
            config: config(trigger),
            schema: trigger.schema.clone(),
            guest,
            connection,
            source: source.context("the trigger has no component")?,
            starts: Positions::default(),
            _host: host,
            _valkey: process,
        })
    }

    /// The private store.
    pub fn store(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }

    /// The file of the component, and the digest of its content.
    pub fn build(&self) -> Result<String> {
        let bytes = self.source.read().map_err(Error::msg)?;
        let hex: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(format!("{} sha256:{hex}", self.source))
    }

    /// Leaves out the records before these positions.
    pub fn begin_at(&mut self, starts: Positions) {
        self.starts = starts;
    }

    /// Counts everything before these positions that was not counted yet. With an observer, one
    /// batch is handled at a time.
    pub async fn count_up_to(
        &mut self,
        ends: &Positions,
        observer: Option<Observer>,
    ) -> Result<Summary> {
        let mut config = self.config.clone();
        if observer.is_some() {
            config.concurrency_max = 1;
        }
        let (guest, store) = (self.guest.clone(), self.connection.clone());
        let observed = Observed { guest, observer, store };
        let handler = SchemaHandler::new(observed, self.schema.clone(), &mut config.filters)?;
        let trigger = Trigger::new(config, handler)?;
        let ranges = ends.ranges_from(&self.starts);
        let stalled = stalled(trigger.metrics());
        tokio::select! {
            counted = trigger.recount(ranges, std::future::pending()) => Ok(counted?),
            error = stalled => Err(error),
        }
    }

    /// Counts the first record of each partition, and finds the keys with the positions.
    pub async fn find_positions(
        &mut self,
        topics: &Topics,
        observer: Option<Observer>,
    ) -> Result<PositionKeys> {
        let mut first = Positions::default();
        topics.begins.iter().for_each(|(topic, partition, offset)| {
            first.insert(topic, partition, offset + 1);
        });
        self.count_up_to(&first, observer).await?;
        PositionKeys::find(&mut self.connection, &first).await
    }
}

/// Resolves when no batch was applied for [`STALL_LIMIT`], with an error that says so.
async fn stalled(metrics: Arc<Metrics>) -> Error {
    let mut applied = metrics.batches.get();
    loop {
        tokio::time::sleep(STALL_LIMIT).await;
        let batches = metrics.batches.get();
        if batches == applied {
            return anyhow!("no records were counted again within {STALL_LIMIT:?}");
        }
        applied = batches;
    }
}

/// The settings of the engine. Records that cannot be applied were written to the dead-letter topic
/// when the group handled them.
fn config(trigger: &TriggerConfig) -> Config {
    let mut config = trigger.engine.clone().instance_id("");
    if config.failed_records == FailedRecords::DeadLetter {
        config.failed_records = FailedRecords::Skip;
    }
    config
}

fn absolute(wasm: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(wasm)?;
    ensure!(path.is_file(), "{}: there is no such file", path.display());
    Ok(path)
}

/// The URL of the store that the application uses, and the certificates for it.
pub fn live_store(app: &App, variables: &Variables, component: &str) -> Result<(String, String)> {
    let config = app.component(component).map(|component| &component.config);
    let value = |name| config.and_then(|config| config.get(name));
    let url = value(STORE).with_context(|| {
        format!(
            "the component `{component}` has no variable `{STORE}`: it counts nothing in Valkey"
        )
    })?;
    let authorities = value(AUTHORITIES).map(|template| variables.render(template)).transpose()?;
    Ok((variables.render(url)?, authorities.unwrap_or_default()))
}
