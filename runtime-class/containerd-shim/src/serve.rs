//! Runs the application in the same way as `doorbuster up`.

use std::pin::pin;

use anyhow::Result;
use runner::{MetricsExport, PreparedApp, RunOptions, Session, shutdown};

use crate::application::Image;
use crate::server_life;
use crate::settings::Settings;

/// The service name in traces and metrics, unless a variable contains one.
const SERVICE: &str = "doorbuster";

/// Runs until a signal arrives or a part fails.
pub fn run(image: Image, arguments: &[String]) -> Result<()> {
    runner::program::run(SERVICE, |metrics| serve(image, arguments, metrics))
}

async fn serve(image: Image, arguments: &[String], metrics: Option<MetricsExport>) -> Result<()> {
    let mut end = pin!(end()?);
    let settings = Settings::read(arguments)?;
    let mut session = tokio::select! {
        biased;
        () = &mut end => return Ok(()),
        session = start(image, settings) => session?,
    };
    session.export_metrics(metrics);
    session.run(Box::pin(end)).await
}

async fn start(image: Image, settings: Settings) -> Result<Session> {
    // Reading may take as long as compiling; a signal must not wait for either.
    let mut app = tokio::task::spawn_blocking(move || image.read()).await??;
    settings.retain(&mut app)?;
    let addresses = settings.addresses();
    let options = RunOptions::read(settings.common())?;
    options.apply(&mut app)?;
    let prepared = PreparedApp::new(options, app, Default::default())?;
    let mut session = prepared.start(addresses, None).await?;
    announce(&session, &prepared);
    session.check_servers(&prepared);
    Ok(session)
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
fn announce(session: &Session, prepared: &PreparedApp) {
    if let Some(address) = session.http_address() {
        tracing::info!(%address, "serving HTTP components");
    }
    for address in session.operator_addresses() {
        tracing::info!(%address, "serving the operator port");
    }
    for config in prepared.triggers() {
        let (engine, component) = (&config.engine, &config.component);
        let topics = engine.topics.join(", ");
        let (brokers, group) = (&engine.brokers, &engine.group);
        tracing::info!(component, topics, brokers, group, "consuming from Kafka");
    }
    for config in prepared.amqp_triggers() {
        let (component, broker, queue) =
            (&config.component, &config.address, &config.consumer.queue);
        tracing::info!(component, broker, queue, "consuming from a queue");
    }
    for config in prepared.redis_servers() {
        let channels = config.channels.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::info!(server = %config.servers, channels, "receiving messages from Redis");
    }
}
