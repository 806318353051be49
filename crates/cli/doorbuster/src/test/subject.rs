//! The component under test.

use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use component_host::output::{Follow, Outputs};
use component_host::{Capability, CompileCache, Host, Limits};
use kafka_schema::{SchemaConfig, SchemaHandler};
use kafka_trigger::{GuestHandler, KafkaTrigger};
use runner::TRIGGER_TYPES;
use spin_app::{App, manifest};
use spin_kafka_trigger::{
    Answer, Batch, Config, Failure, Handler, Position, Rejection, is_pattern,
};
use valkey_provider::ValkeyProvider;

use super::Args;
use super::output::ComponentOutput;
use crate::application::{select_trigger, without_producers};

/// The value of the variable `kafka_brokers`. Nothing connects to it: the name is reserved for
/// names that do not exist (RFC 2606).
const BROKERS: &str = "broker.invalid:9092";

/// The topic and the component of a test without a manifest.
const TOPIC: &str = "test";
const COMPONENT: &str = "component";

/// The component under test, loaded.
pub struct Subject {
    /// The settings of its trigger.
    config: Config,
    schema: Option<SchemaConfig>,
    pub topic: Arc<str>,
    /// Differs in each run.
    pub run_id: u64,
    pub output: Arc<ComponentOutput>,
    guest: GuestHandler,
    /// The components run as long as it exists.
    _host: Host,
}

impl Subject {
    /// Loads the component of a trigger, or of a `.wasm` file.
    pub async fn load(args: &Args, wasm: Option<&Path>) -> Result<Self> {
        let mut app = match wasm {
            Some(wasm) => {
                ensure!(args.component.is_none(), "--component has no meaning for a .wasm file");
                app_of(wasm)?
            }
            None => args.source.read().await?,
        };
        app.check_triggers(&TRIGGER_TYPES)?;
        let file = args.variables.runtime_config()?;
        let known = [("kafka_brokers".into(), BROKERS.into())].into();
        let variables = args.variables.resolve(&app, known, &file)?;
        let trigger = select_trigger(&app, &variables, args.component.as_deref())?;
        app.retain_components(std::slice::from_ref(&trigger.component))?;
        without_producers(&mut app);
        let mut limits = Limits::default();
        if let Some(bytes) = args.max_instance_memory.or(file.max_instance_memory) {
            limits.instance_memory_bytes_max = bytes;
        }
        let output = Arc::new(ComponentOutput::new()?);
        let follow = if args.show_output { Follow::All } else { Follow::None };
        let outputs = Outputs::new(&app, Some(output.folder()), follow)?;
        let cache = CompileCache::UserFolder;
        let capabilities: [Arc<dyn Capability>; 1] = [Arc::new(ValkeyProvider::default())];
        let load = move || Host::load(&app, &variables, limits, outputs, &cache, &capabilities);
        let host = tokio::task::spawn_blocking(load).await.context("loading failed")??;
        let guest = KafkaTrigger::new(trigger.clone(), &host)?.observed().handler.clone();
        let (mut config, schema) = (trigger.engine, trigger.schema);
        config.batch_records_max = args.batch.unwrap_or(config.batch_records_max);
        // One call at a time, so that the output of a call is known.
        config.concurrency_max = 1;
        config.validate()?;
        let topic = match (&args.topic, config.topics.first()) {
            (Some(topic), _) => topic.as_str(),
            (None, Some(topic)) if !is_pattern(topic) => topic.as_str(),
            (None, _) => bail!("the trigger's first topic is a pattern: name a topic by --topic"),
        };
        let topic = Arc::from(topic);
        let run_id = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos() as u64;
        Ok(Self { config, schema, topic, run_id, output, guest, _host: host })
    }

    /// The handler for the records of a partition, and the settings of the engine for it.
    pub fn handler(&self, partition: i32) -> Result<(SchemaHandler<Observed>, Config)> {
        let (guest, output) = (self.guest.clone(), self.output.clone());
        let (observed, mut config) = (Observed { guest, output, partition }, self.config.clone());
        let handler = SchemaHandler::new(observed, self.schema.clone(), &mut config.filters)?;
        Ok((handler, config))
    }
}

/// An application with this component and a Kafka trigger with default settings.
fn app_of(wasm: &Path) -> Result<App> {
    let path = std::path::absolute(wasm)?;
    let path = path.to_str().context("the name of the component's file is not UTF-8")?;
    ensure!(Path::new(path).is_file(), "{path}: there is no such file");
    // A JSON string is also a string of TOML.
    let source = serde_json::to_string(path)?;
    let text = format!(
        r#"
spin_manifest_version = 2
[application]
name = "{COMPONENT}"
[[trigger.kafka]]
component = "{COMPONENT}"
brokers = "{BROKERS}"
topic = "{TOPIC}"
group = "{TOPIC}"
[component.{COMPONENT}]
source = {source}
"#
    );
    Ok(manifest::parse(wasm, &text)?)
}

/// Calls the component, and keeps its output for each record that it fails with.
pub struct Observed {
    guest: GuestHandler,
    output: Arc<ComponentOutput>,
    partition: i32,
}

impl Handler for Observed {
    async fn handle(&self, batch: &Batch) -> Result<Vec<Rejection>, Failure> {
        self.answer(Arc::new(batch.clone())).await?.only_rejections()
    }

    async fn answer(&self, batch: Arc<Batch>) -> Result<Answer, Failure> {
        let before = self.output.mark();
        let answer = self.guest.answer(batch.clone()).await;
        if let ([message], true) = (batch.records.as_slice(), is_noted(&answer)) {
            self.output.note((self.partition, message.offset), before);
        }
        answer
    }

    async fn position(
        &self,
        group: &str,
        topic: &str,
        log_id: &str,
        partition: i32,
    ) -> Result<Position, Failure> {
        self.guest.position(group, topic, log_id, partition).await
    }
}

/// Whether the record of this answer may be given up.
fn is_noted(answer: &Result<Answer, Failure>) -> bool {
    !matches!(answer, Ok(answer) if answer.rejections.is_empty())
}
