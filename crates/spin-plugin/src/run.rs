//! Runs the Kafka triggers until Spin says stop, or is gone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use component_host::variables::Variables;
use component_host::{App, Capability, Host};
use host_producer::Producer;
use runner::{Checks, Common, Consumers, operators, shutdown};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use trigger_kafka::{KafkaTrigger, ProducerCapability, TriggerConfig};

use crate::application;
use crate::cli::Cli;
use crate::parents::Parents;

/// Time that records under way get to be acknowledged at the end.
const FLUSH_DEADLINE: Duration = Duration::from_secs(15);

/// Runs until a signal, until Spin is gone, or until a trigger fails.
pub async fn run(cli: Cli, parents: Parents) -> Result<()> {
    if parents.are_gone() {
        bail!("`spin up` ended before its Kafka trigger began");
    }
    let operator = cli.operator;
    let common = Common::read(cli.common)?;
    let mut app = application::read()?;
    common.provide(&mut app);
    let variables = common.variables(&app, Default::default())?;
    let parts = Parts::load(&app, &variables, &common)?;
    let operator = operators::bind(operator).await?;
    parts.announce();
    parts.run(operator, parents).await
}

/// Everything that runs, ready to.
struct Parts {
    /// It owns the components; they live as long as any of them runs.
    _host: Host,
    producer: Producer,
    triggers: Vec<KafkaTrigger>,
    checks: Checks,
    /// A line for each trigger: its topics, its group, its component.
    lines: Vec<String>,
}

impl Parts {
    fn load(app: &App, variables: &Variables, common: &Common) -> Result<Self> {
        let configs = TriggerConfig::read_all(app, variables)?;
        let Some(first) = configs.first() else {
            bail!("{}: the application has no [[trigger.kafka]]", app.metadata.name);
        };
        let brokers = first.engine.brokers.clone();
        if configs.iter().any(|config| config.engine.brokers != brokers) {
            tracing::warn!(brokers, "triggers name several clusters; components write to this one");
        }
        let producer =
            Producer::new(first.producer()).context("cannot set up the Kafka producer")?;
        let capability: Arc<dyn Capability> =
            Arc::new(ProducerCapability::new(producer.clone(), &brokers));
        let outputs = common.outputs(app, application::state_dir())?;
        let host = Host::load(app, variables, common.limits(), outputs, &[capability])?;
        let checks = Checks::of(&configs, variables);
        let lines = configs.iter().map(line).collect();
        let triggers = configs
            .into_iter()
            .map(|config| KafkaTrigger::new(config, &host))
            .collect::<Result<_, _>>()?;
        Ok(Self { _host: host, producer, triggers, checks, lines })
    }

    fn announce(&self) {
        println!("\nConsuming from Kafka");
        self.lines.iter().for_each(|line| println!("  {line}"));
    }

    async fn run(self, operator: Option<TcpListener>, parents: Parents) -> Result<()> {
        let _checks = AbortOnDropHandle::new(tokio::spawn(self.checks.run()));
        let _operator = operators::serve(operator, &self.triggers);
        let mut consumers = Consumers::start(self.triggers);
        tokio::select! {
            () = shutdown::signal() => {}
            () = parents.gone() => tracing::warn!("`spin up` is gone: draining"),
            () = consumers.ended() => {}
        }
        let drained = consumers.drain().await;
        let flushed = self.producer.flush(FLUSH_DEADLINE).await;
        drained?;
        flushed.context("records of components were not acknowledged before the end")
    }
}

fn line(config: &TriggerConfig) -> String {
    let engine = &config.engine;
    format!(
        "{}: {} at {}, group {}",
        config.component,
        engine.topics.join(", "),
        engine.brokers,
        engine.group
    )
}
