//! `doorbuster up`: the HTTP and the Kafka components of an application in one process.

mod args;
mod backends;
mod banner;
mod checks;
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
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use trigger_kafka::{KafkaTrigger, Operator, ProducerCapability, TriggerConfig};

pub use args::Args;
use backends::Backends;
use checks::Checks;
use reload::{Files, Reload};

/// Time that requests and batches under way get to end after the signal.
const DRAIN_DEADLINE: Duration = Duration::from_secs(15);

/// Runs until a signal, or until a part fails.
pub async fn run(args: Args) -> Result<ExitCode> {
    let app = manifest::read(&args.from)?;
    let backends = Backends::start(&args).await?;
    let variables = Variables::resolve(&app.variables, &backends.variables(&args, &app), |name| {
        std::env::var(name).ok()
    })?;
    let parts = Parts::start(&args, &app, &variables, &backends).await?;
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
        app: &App,
        variables: &Variables,
        backends: &Backends,
    ) -> Result<Self> {
        let configs = TriggerConfig::read_all(app, variables)?;
        for config in &configs {
            backends.ensure_topics(config).await?;
        }
        let checks = backends.checks(app, &configs);
        let brokers = backends.brokers();
        let producer = Producer::new(ProducerConfig::new(brokers))
            .context("cannot set up the Kafka producer")?;
        let capability: Arc<dyn Capability> =
            Arc::new(ProducerCapability::new(producer.clone(), brokers));
        let limits = args.limits();
        let files = Files::of(app);
        let host = Arc::new(Host::load(app, variables, limits.clone(), &[capability])?);
        let triggers = configs
            .into_iter()
            .map(|config| KafkaTrigger::new(config, &host))
            .collect::<Result<Vec<_>, _>>()?;
        let server = Server::bind(args.listen, host.services(), Arc::new(limits)).await?;
        let operator = match args.operator {
            Some(address) => Some(Operator::bind(address).await.map_err(anyhow::Error::msg)?),
            None => None,
        };
        let handlers = triggers.iter().map(KafkaTrigger::handler).collect();
        let reload = Reload::new(files, host.clone(), handlers);
        let watch = args.watch;
        Ok(Self { host, server, producer, triggers, reload, watch, operator, checks })
    }

    /// Serves and consumes until a signal or a fault, then drains in the data's order: no new
    /// requests, then what the producer still holds, then the batches in flight.
    async fn run(self) -> Result<()> {
        let (stop_serving, stop_consuming) = (CancellationToken::new(), CancellationToken::new());
        let _host = self.host;
        let _checks = self.checks.map(|checks| AbortOnDropHandle::new(tokio::spawn(checks.run())));
        let _reload = AbortOnDropHandle::new(tokio::spawn(self.reload.run(self.watch)));
        let _operator = self.operator.map(|listener| {
            let operator = Operator::new(&self.triggers);
            // Asked until the very end; nobody waits for an answer of it then.
            AbortOnDropHandle::new(tokio::spawn(operator.serve(listener, std::future::pending())))
        });
        let mut consumers = JoinSet::new();
        for trigger in self.triggers {
            consumers.spawn(trigger.run(stop_consuming.clone().cancelled_owned()));
        }
        let server =
            tokio::spawn(self.server.run(stop_serving.clone().cancelled_owned(), DRAIN_DEADLINE));

        let first = tokio::select! {
            () = crate::shutdown::signal() => None,
            Some(ended) = consumers.join_next() => Some(ended),
        };
        stop_serving.cancel();
        if !server.await.context("the HTTP server failed")? {
            tracing::warn!("requests were still under way at the drain deadline");
        }
        let flushed = self.producer.flush(DRAIN_DEADLINE).await;
        stop_consuming.cancel();
        for ended in first.into_iter().chain(rest(consumers).await) {
            let summary = ended.context("a Kafka trigger failed")??;
            tracing::info!(?summary, "Kafka trigger drained");
        }
        flushed.context("accepted records were not acknowledged before the end")
    }
}

/// Waits for every task.
async fn rest<T: 'static>(mut tasks: JoinSet<T>) -> Vec<Result<T, JoinError>> {
    let mut ended = Vec::new();
    while let Some(task) = tasks.join_next().await {
        ended.push(task);
    }
    ended
}
