//! `doorbuster up`: the HTTP and the Kafka components of an application in one process.

mod args;
mod backends;
mod banner;
mod embedded;
mod reload;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use component_host::http::Server;
use component_host::variables::Variables;
use component_host::{App, Capability, Host, manifest};
use host_producer::{Producer, ProducerConfig};
use runner::{Checks, Common, Consumers, operators, shutdown};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use trigger_kafka::{KafkaTrigger, ProducerCapability, TriggerConfig};

pub use args::Args;
use backends::Backends;
use reload::{Files, Reload};

/// Time that requests and batches under way get to end after the signal.
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);

/// Runs until a signal, or until a part fails.
pub async fn run(args: Args) -> Result<ExitCode> {
    let common = Common::read(args.common.clone())?;
    let mut app = manifest::read(&args.from)?;
    common.provide(&mut app);
    let backends = Backends::start(&args).await?;
    let variables = common.variables(&app, backends.variables(&app))?;
    let parts = Parts::start(&args, &common, &app, &variables, &backends).await?;
    let operator = parts.operator.as_ref().and_then(|listener| listener.local_addr().ok());
    banner::print(parts.server.address(), operator, &backends);
    let ended = parts.run().await;
    backends.stop().await?;
    ended.map(|()| ExitCode::SUCCESS)
}

/// Everything that runs, ready to.
struct Parts {
    /// Components find each other through the host: it lives as long as any of them runs.
    host: Arc<Host>,
    server: Server,
    producer: Producer,
    triggers: Vec<KafkaTrigger>,
    reload: Reload,
    watch: bool,
    /// Where operators ask.
    operator: Option<TcpListener>,
    /// Looks at the settings of topics and store.
    checks: Option<Checks>,
}

impl Parts {
    async fn start(
        args: &Args,
        common: &Common,
        app: &App,
        variables: &Variables,
        backends: &Backends,
    ) -> Result<Self> {
        let configs = TriggerConfig::read_all(app, variables)?;
        for config in &configs {
            backends.ensure_topics(config).await?;
        }
        // The embedded broker promises nothing.
        let checks = (!backends.forgets()).then(|| Checks::of(&configs, variables));
        let brokers = backends.brokers();
        let config = configs.first().map(TriggerConfig::producer);
        let config = ProducerConfig {
            brokers: brokers.into(),
            ..config.unwrap_or_else(|| ProducerConfig::new(brokers))
        };
        let producer = Producer::new(config).context("cannot set up the Kafka producer")?;
        let capability: Arc<dyn Capability> =
            Arc::new(ProducerCapability::new(producer.clone(), brokers));
        let limits = common.limits();
        let outputs = common.outputs(app, None)?;
        let files = Files::of(app);
        let host = Arc::new(Host::load(app, variables, limits.clone(), outputs, &[capability])?);
        let triggers = configs
            .into_iter()
            .map(|config| KafkaTrigger::new(config, &host))
            .collect::<Result<Vec<_>, _>>()?;
        let server = Server::bind(args.listen, host.services(), Arc::new(limits)).await?;
        let operator = operators::bind(args.operator).await?;
        let handlers = triggers.iter().map(KafkaTrigger::handler).collect();
        let reload = Reload::new(files, host.clone(), handlers);
        let watch = args.watch;
        Ok(Self { host, server, producer, triggers, reload, watch, operator, checks })
    }

    /// Serves and consumes until a signal or a fault, then drains in the data's order: no new
    /// requests, then what the producer still holds, then the batches in flight.
    async fn run(self) -> Result<()> {
        let stop_serving = CancellationToken::new();
        let _host = self.host;
        let _checks = self.checks.map(|checks| AbortOnDropHandle::new(tokio::spawn(checks.run())));
        let _reload = AbortOnDropHandle::new(tokio::spawn(self.reload.run(self.watch)));
        let _operator = operators::serve(self.operator, &self.triggers);
        let mut consumers = Consumers::start(self.triggers);
        let server =
            tokio::spawn(self.server.run(stop_serving.clone().cancelled_owned(), DRAIN_DEADLINE));

        tokio::select! {
            () = shutdown::signal() => {}
            () = consumers.ended() => {}
        }
        stop_serving.cancel();
        if !server.await.context("the HTTP server failed")? {
            tracing::warn!("requests were still under way at the drain deadline");
        }
        let flushed = self.producer.flush(DRAIN_DEADLINE).await;
        consumers.drain().await?;
        flushed.context("accepted records were not acknowledged before the end")
    }
}
