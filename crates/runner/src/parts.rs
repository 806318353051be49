//! A loaded application with everything that runs it: what serves, consumes, and is asked by
//! operators.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use component_host::http::Server;
use component_host::output::Outputs;
use component_host::variables::Variables;
use component_host::{App, Capability, Host};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use host_producer::ProducerConfig;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use trigger_kafka::{GuestHandler, KafkaTrigger, Operator, ProducerCapability, TriggerConfig};

use crate::{Common, Consumers, operators};

/// Time after the stop in which requests may end. With what follows, and the triggers'
/// `drain_deadline_ms`, it stays below the 30 seconds that Kubernetes gives.
const REQUESTS_LIMIT: Duration = Duration::from_secs(10);

/// Time that records of requests which were broken off get to be acknowledged then.
const FLUSH_LIMIT: Duration = Duration::from_secs(5);

/// The types of triggers that an application may have here.
pub const TRIGGER_TYPES: [&str; 2] = ["http", "kafka"];

/// Where an application is reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    /// Its HTTP components; without any, its operators.
    pub listen: Option<SocketAddr>,
    /// Its operators: /metrics, /healthz, /readyz.
    pub operator: Option<SocketAddr>,
}

/// An application, ready to run.
pub struct Parts {
    /// Components find each other through the host: it lives as long as any of them runs.
    host: Arc<Host>,
    server: Option<Server>,
    producer: Option<Arc<ProducerCapability>>,
    triggers: Vec<KafkaTrigger>,
    operators: Vec<TcpListener>,
    /// How long new requests are taken after the stop.
    linger: Duration,
}

impl Parts {
    /// Loads the components, and listens. `state` is the state folder if nothing else is said.
    pub fn start<'a>(
        app: &'a App,
        variables: &'a Variables,
        common: &'a Common,
        addresses: Addresses,
        state: Option<PathBuf>,
    ) -> BoxFuture<'a, Result<Self>> {
        Self::load(app, variables, common, addresses, state).boxed()
    }

    async fn load(
        app: &App,
        variables: &Variables,
        common: &Common,
        addresses: Addresses,
        state: Option<PathBuf>,
    ) -> Result<Self> {
        app.check_triggers(&TRIGGER_TYPES)?;
        let configs = TriggerConfig::read_all(app, variables)?;
        let producer = producer(app, variables, &configs)?;
        let capability = producer.clone().map(|producer| producer as Arc<dyn Capability>);
        let capabilities: Vec<_> = capability.into_iter().collect();
        let outputs = common.outputs(app, state)?;
        let limits = common.limits();
        let host = load_host(app, variables, common, outputs, capabilities).await?;
        let serves = app.triggers("http").next().is_some();
        let server = match addresses.listen.filter(|_| serves) {
            Some(address) => Some(Server::bind(address, host.services(), Arc::new(limits)).await?),
            None => None,
        };
        let for_operators = [addresses.operator, addresses.listen.filter(|_| !serves)];
        let operators = operators::bind(for_operators.into_iter().flatten()).await?;
        let triggers = configs
            .into_iter()
            .map(|config| KafkaTrigger::new(config, &host))
            .collect::<Result<_, _>>()?;
        let linger = common.linger().min(REQUESTS_LIMIT);
        Ok(Self { host: Arc::new(host), server, producer, triggers, operators, linger })
    }

    /// The components.
    pub fn host(&self) -> Arc<Host> {
        self.host.clone()
    }

    /// The calls of the Kafka triggers.
    pub fn handlers(&self) -> Vec<GuestHandler> {
        self.triggers.iter().map(KafkaTrigger::handler).collect()
    }

    /// Where the HTTP components are served.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::address)
    }

    /// Where operators ask.
    pub fn operators(&self) -> Vec<SocketAddr> {
        self.operators.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves and consumes until `stop` or a fault, then drains in the data's order: no new
    /// requests, then what the producer still holds, then the batches in flight.
    ///
    /// Boxed, as [`Parts::start`]: every program would otherwise compile all of this once more.
    pub fn run(self, stop: BoxFuture<'_, ()>) -> BoxFuture<'_, Result<()>> {
        self.run_until(stop).boxed()
    }

    async fn run_until(self, stop: BoxFuture<'_, ()>) -> Result<()> {
        let stop_serving = CancellationToken::new();
        let _host = self.host;
        let _operators = operators::serve(self.operators, Operator::new(&self.triggers));
        let mut consumers = Consumers::start(self.triggers);
        let server = self.server.map(|server| {
            let stopped = stop_serving.clone().cancelled_owned().boxed();
            tokio::spawn(server.run(stopped, REQUESTS_LIMIT - self.linger))
        });
        tokio::select! {
            () = stop => {}
            () = consumers.ended() => {}
        }
        if server.is_some() {
            tokio::time::sleep(self.linger).await;
        }
        stop_serving.cancel();
        if let Some(server) = server
            && !server.await.context("the HTTP server failed")?
        {
            tracing::warn!("requests were still under way at the drain deadline");
        }
        let flushed = match &self.producer {
            Some(producer) => producer.flush(FLUSH_LIMIT).await,
            None => Ok(()),
        };
        consumers.drain().await?;
        flushed.context("accepted records were not acknowledged before the end")
    }
}

/// Loads the components where it holds up nothing else: compiling them may take long, and a signal
/// must not wait for it.
async fn load_host(
    app: &App,
    variables: &Variables,
    common: &Common,
    outputs: Outputs,
    capabilities: Vec<Arc<dyn Capability>>,
) -> Result<Host> {
    let (app, variables) = (app.clone(), variables.clone());
    let (limits, cache) = (common.limits(), common.cache());
    let load = move || Host::load(&app, &variables, limits, outputs, &cache, &capabilities);
    Ok(tokio::task::spawn_blocking(load).await.context("loading the components failed")??)
}

/// The host's producer, if it is known which brokers it would write to.
fn producer(
    app: &App,
    variables: &Variables,
    configs: &[TriggerConfig],
) -> Result<Option<Arc<ProducerCapability>>> {
    let Some(config) = TriggerConfig::producer_of(configs, app, variables)? else {
        return Ok(None);
    };
    let ProducerConfig { brokers, .. } = &config;
    if configs.iter().any(|other| other.engine.brokers != *brokers) {
        tracing::warn!(brokers, "triggers name several clusters; components write to this one");
    }
    let producer = ProducerCapability::new(config).context("cannot set up the Kafka producer")?;
    Ok(Some(Arc::new(producer)))
}
