//! Runs the Kafka triggers until a signal arrives or `spin up` has ended.

use std::pin::pin;

use anyhow::{Result, bail};
use kafka_trigger::TriggerConfig;
use runner::{Addresses, MetricsExport, PreparedApp, RunOptions, shutdown};

use crate::application;
use crate::cli::Cli;
use crate::parents::Parents;

/// Runs until a signal arrives, `spin up` has ended, or a trigger fails. `metrics` is the export of
/// the metrics, if one is configured.
pub async fn run(cli: Cli, parents: Parents, metrics: Option<MetricsExport>) -> Result<()> {
    let mut signal = pin!(shutdown::signal());
    if parents.are_gone() {
        bail!("`spin up` ended before its Kafka trigger began");
    }
    let addresses = Addresses { operator: cli.operator, ..Addresses::default() };
    let options = RunOptions::read(cli.common)?;
    let mut app = application::read()?;
    if app.triggers("kafka").next().is_none() {
        bail!("{}: the application has no [[trigger.kafka]]", app.metadata.name);
    }
    options.apply(&mut app)?;
    let prepared = PreparedApp::new(options, app, Default::default())?;
    let mut session = tokio::select! {
        biased;
        () = &mut signal => return Ok(()),
        started = prepared.start(addresses, application::state_dir()) => started?,
    };
    announce(prepared.triggers());
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

/// Prints a line for each trigger: component, topics, brokers and group.
fn announce(triggers: &[TriggerConfig]) {
    printing::announce("\nConsuming from Kafka");
    for config in triggers {
        let engine = &config.engine;
        let topics = engine.topics.join(", ");
        let (component, brokers, group) = (&config.component, &engine.brokers, &engine.group);
        printing::announce(format_args!("  {component}: {topics} at {brokers}, group {group}"));
    }
}
