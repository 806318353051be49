//! A loaded application with everything that runs it: the HTTP server, the Kafka consumers and the
//! operator port.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use component_host::http::Server;
use component_host::output::Outputs;
use component_host::{Capability, Host};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use host_producer::ProducerConfig;
use kafka_trigger::{GuestHandler, KafkaTrigger, Operator, ProducerCapability, TriggerConfig};
use spin_app::App;
use spin_app::variables::Variables;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::running::{REQUESTS_LIMIT, Running};
use crate::{Common, Consumers, operators};

/// The supported types of triggers.
pub const TRIGGER_TYPES: [&str; 2] = ["http", "kafka"];

/// The addresses of an application.
#[derive(Debug, Clone, Copy, Default)]
pub struct Addresses {
    /// Address of the HTTP components. If there are none, address of the operator port.
    pub listen: Option<SocketAddr>,
    /// Address of the operator port: `/metrics`, `/healthz`, `/readyz`.
    pub operator: Option<SocketAddr>,
}

/// An application, ready to run.
pub struct Parts {
    host: Arc<Host>,
    server: Option<Server>,
    producer: Option<Arc<ProducerCapability>>,
    triggers: Vec<KafkaTrigger>,
    operators: Vec<TcpListener>,
    /// How long new requests are accepted after the stop.
    linger: Duration,
}

impl Parts {
    /// Loads the components and binds the ports. `state` is the state folder if none is specified.
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

    /// The handlers of the Kafka triggers.
    pub fn handlers(&self) -> Vec<GuestHandler> {
        self.triggers.iter().map(KafkaTrigger::handler).collect()
    }

    /// The address of the HTTP components; `None` if there are none.
    pub fn address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::address)
    }

    /// The addresses of the operator port.
    pub fn operators(&self) -> Vec<SocketAddr> {
        self.operators.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves and consumes until `stop` resolves or an error occurs, then drains.
    ///
    /// The future is boxed, like that of [`Parts::start`], because otherwise every program would
    /// compile this code again.
    pub fn run(self, stop: BoxFuture<'_, ()>) -> BoxFuture<'_, Result<()>> {
        async { self.running().until(stop).await }.boxed()
    }

    fn running(self) -> Running {
        let stop_serving = CancellationToken::new();
        let operator = Operator::new(&self.triggers, self.producer.as_deref());
        let operators = operators::serve(self.operators, operator);
        let mut server = JoinSet::new();
        if let Some(http) = self.server {
            let stopped = stop_serving.clone().cancelled_owned().boxed();
            server.spawn(http.run(stopped, REQUESTS_LIMIT - self.linger));
        }
        Running {
            _host: Some(self.host),
            server,
            stop_serving,
            operators,
            producer: self.producer,
            consumers: Consumers::start(self.triggers),
            linger: self.linger,
        }
    }
}

/// Loads the components on a separate thread: compiling them may take long, and a signal must be
/// handled in the meantime.
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

/// The host's producer, if its brokers are known.
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
