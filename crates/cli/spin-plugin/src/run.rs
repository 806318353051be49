//! Runs the triggers until a signal arrives or `spin up` has ended.

use std::pin::pin;

use anyhow::{Result, bail};
use runner::{Addresses, MetricsExport, PreparedApp, RunOptions, shutdown};

use crate::application;
use crate::cli::Cli;
use crate::parents::Parents;
use crate::trigger_type::TriggerType;

/// Runs until a signal arrives, `spin up` has ended, or a trigger fails. `metrics` is the export of
/// the metrics, if one is configured.
pub async fn run(
    trigger_type: TriggerType,
    cli: Cli,
    parents: Parents,
    metrics: Option<MetricsExport>,
) -> Result<()> {
    let mut signal = pin!(shutdown::signal());
    if parents.are_gone() {
        bail!("`spin up` ended before its {} trigger began", trigger_type.name());
    }
    let addresses = Addresses { operator: cli.operator, ..Addresses::default() };
    let options = RunOptions::read(cli.common)?;
    let mut app = application::read(trigger_type)?;
    let name = trigger_type.name();
    if app.triggers(name).next().is_none() {
        bail!("{}: the application has no [[trigger.{name}]]", app.metadata.name);
    }
    options.apply(&mut app)?;
    let prepared = PreparedApp::new(options, app, Default::default())?;
    let mut session = tokio::select! {
        biased;
        () = &mut signal => return Ok(()),
        started = prepared.start(addresses, application::state_dir()) => started?,
    };
    announce(&prepared);
    session.check_servers(&prepared);
    session.export_metrics(metrics);
    let stop = async {
        tokio::select! {
            () = signal => {}
            () = parents.gone() => tracing::warn!("`spin up` has ended: draining"),
        }
    };
    session.run(Box::pin(stop)).await
}

/// Prints a line for each trigger: component, topics, brokers and group, or queue and broker.
fn announce(prepared: &PreparedApp) {
    let mut lines = Vec::new();
    for config in prepared.triggers() {
        let engine = &config.engine;
        let topics = engine.topics.join(", ");
        let (component, brokers, group) = (&config.component, &engine.brokers, &engine.group);
        lines.push(format!("  {component}: {topics} at {brokers}, group {group}"));
    }
    if !lines.is_empty() {
        printing::announce("\nConsuming from Kafka");
        lines.iter().for_each(printing::announce);
    }
    if !prepared.amqp_triggers().is_empty() {
        printing::announce("\nConsuming from RabbitMQ");
    }
    for config in prepared.amqp_triggers() {
        let (component, queue) = (&config.component, &config.consumer.queue);
        printing::announce(format_args!("  {component}: queue {queue} at {}", config.address));
    }
}
