//! Runs the Kafka triggers until a signal arrives or `spin up` has ended.

use std::pin::pin;

use anyhow::{Result, bail};
use kafka_trigger::TriggerConfig;
use runner::{Addresses, Checks, Common, Parts, shutdown};
use tokio_util::task::AbortOnDropHandle;

use crate::application;
use crate::cli::Cli;
use crate::parents::Parents;

/// Runs until a signal arrives, `spin up` has ended, or a trigger fails.
pub async fn run(cli: Cli, parents: Parents) -> Result<()> {
    let mut signal = pin!(shutdown::signal());
    if parents.are_gone() {
        bail!("`spin up` ended before its Kafka trigger began");
    }
    let addresses = Addresses { listen: None, operator: cli.operator };
    let common = Common::read(cli.common)?;
    let mut app = application::read()?;
    common.provide(&mut app);
    let variables = common.variables(&app, Default::default())?;
    let configs = TriggerConfig::read_all(&app, &variables)?;
    if configs.is_empty() {
        bail!("{}: the application has no [[trigger.kafka]]", app.metadata.name);
    }
    let state = application::state_dir();
    let parts = tokio::select! {
        biased;
        () = &mut signal => return Ok(()),
        parts = Parts::start(&app, &variables, &common, addresses, state) => parts?,
    };
    announce(&configs);
    let checks = Checks::of(&app, &configs, &variables);
    let _checks = AbortOnDropHandle::new(tokio::spawn(checks.run()));
    let stop = async {
        tokio::select! {
            () = signal => {}
            () = parents.gone() => tracing::warn!("`spin up` is gone: draining"),
        }
    };
    parts.run(Box::pin(stop)).await
}

/// Prints a line for each trigger: component, topics, brokers and group.
fn announce(configs: &[TriggerConfig]) {
    printing::announce("\nConsuming from Kafka");
    for config in configs {
        let engine = &config.engine;
        let topics = engine.topics.join(", ");
        let (component, brokers, group) = (&config.component, &engine.brokers, &engine.group);
        printing::announce(format_args!("  {component}: {topics} at {brokers}, group {group}"));
    }
}
