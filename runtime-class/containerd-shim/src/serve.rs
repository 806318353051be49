//! Runs the application with the same parts and the same deadlines as `doorbuster up`.

use std::pin::pin;

use anyhow::Result;
use kafka_trigger::TriggerConfig;
use runner::{Checks, Common, Parts, Telemetry, shutdown};
use tokio_util::task::AbortOnDropHandle;

use crate::application::Image;
use crate::server_life;
use crate::settings::Settings;

/// The service name in traces, unless `OTEL_SERVICE_NAME` is set.
const SERVICE: &str = "doorbuster";

/// Runs until a signal arrives or a part fails.
pub fn run(image: Image, arguments: &[String]) -> Result<()> {
    let telemetry = Telemetry::start(SERVICE)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(serve(image, arguments));
    // The end does not wait for a component that is being compiled.
    runtime.shutdown_timeout(shutdown::TASKS_LIMIT);
    telemetry.end();
    ended
}

async fn serve(image: Image, arguments: &[String]) -> Result<()> {
    let mut end = pin!(end()?);
    let settings = Settings::read(arguments)?;
    let running = tokio::select! {
        biased;
        () = &mut end => return Ok(()),
        running = Running::start(image, settings) => running?,
    };
    running.parts.run(Box::pin(end)).await
}

/// The running parts of the application.
struct Running {
    parts: Parts,
    _checks: AbortOnDropHandle<()>,
}

impl Running {
    async fn start(image: Image, settings: Settings) -> Result<Self> {
        // Reading may take as long as compiling; a signal must not wait for either.
        let mut app = tokio::task::spawn_blocking(move || image.read()).await??;
        settings.retain(&mut app)?;
        let addresses = settings.addresses();
        let common = Common::read(settings.common())?;
        common.provide(&mut app);
        let variables = common.variables(&app, Default::default())?;
        let parts = Parts::start(&app, &variables, &common, addresses, None).await?;
        let configs = TriggerConfig::read_all(&app, &variables)?;
        announce(&parts, &configs);
        let checks = Checks::of(&app, &configs, &variables);
        Ok(Self { parts, _checks: AbortOnDropHandle::new(tokio::spawn(checks.run())) })
    }
}

/// Resolves when the application must end: after a signal, or when the shim's server has ended.
fn end() -> Result<impl Future<Output = ()> + Send> {
    let signal = shutdown::signal();
    let server_ended = server_life::ended()?;
    Ok(async {
        tokio::select! {
            () = signal => {}
            () = server_ended => {
                tracing::warn!("the shim's server has ended, so the application drains and ends");
            }
        }
    })
}

/// Logs a line for each address and each trigger.
fn announce(parts: &Parts, configs: &[TriggerConfig]) {
    if let Some(address) = parts.address() {
        tracing::info!(%address, "HTTP components are served");
    }
    for address in parts.operators() {
        tracing::info!(%address, "operators are answered");
    }
    for config in configs {
        let (engine, component) = (&config.engine, &config.component);
        let topics = engine.topics.join(", ");
        let (brokers, group) = (&engine.brokers, &engine.group);
        tracing::info!(component, topics, brokers, group, "consuming from Kafka");
    }
}
