//! One start, run and drain for all programs that run an application.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use amqp_trigger::AmqpTrigger;
use anyhow::{Context as _, Result};
use component_host::http::Server;
use component_host::output::Outputs;
use component_host::{Caller, Capability, Host};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use host_producer::ProducerConfig;
use kafka_trigger::{
    BatchTrigger, KafkaTrigger, LetterService, Observed, Operator, ProducerCapability,
    TriggerConfig,
};
use redis_trigger::RedisTrigger;
use spin_app::App;
use spin_app::variables::Variables;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;
use valkey_provider::ValkeyProvider;

use crate::running::{REQUESTS_LIMIT, Running};
use crate::{Builds, Consumers, MetricsExport, PreflightChecks, RunOptions, operator_port};

/// The addresses of an application.
#[derive(Debug, Default)]
pub struct Addresses {
    /// Address of the HTTP components. If there are none, address of the operator port.
    pub listen: Option<SocketAddr>,
    /// Address of the operator port: `/metrics`, `/healthz`, `/readyz`, `/dead-letters`.
    pub operator: Option<SocketAddr>,
    /// The operator port, if it is bound already.
    pub bound_operator: Option<TcpListener>,
}

/// An application that can be started: its variables have values, and the settings of its Kafka, AMQP
/// and Redis triggers are valid.
pub struct PreparedApp {
    options: RunOptions,
    app: App,
    variables: Variables,
    triggers: Vec<TriggerConfig>,
    amqp: Vec<amqp_trigger::TriggerConfig>,
    redis: Vec<redis_trigger::ServerConfig>,
}

impl PreparedApp {
    /// Determines the values of the variables, and reads the settings of the triggers. The
    /// values in `known` have the next precedence after `--variable`. [`RunOptions::apply`] must
    /// have been called for the application.
    pub fn new(options: RunOptions, app: App, known: BTreeMap<String, String>) -> Result<Self> {
        let variables = options.variables(&app, known)?;
        let triggers = TriggerConfig::read_all(&app, &variables)?;
        let amqp = amqp_trigger::TriggerConfig::read_all(&app, &variables)?;
        let redis = redis_trigger::ServerConfig::read_all(&app, &variables)?;
        Ok(Self { options, app, variables, triggers, amqp, redis })
    }

    /// The application.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The settings of the Kafka triggers.
    pub fn triggers(&self) -> &[TriggerConfig] {
        &self.triggers
    }

    /// The settings of the AMQP triggers.
    pub fn amqp_triggers(&self) -> &[amqp_trigger::TriggerConfig] {
        &self.amqp
    }

    /// What the Redis triggers subscribe to, for each server.
    pub fn redis_servers(&self) -> &[redis_trigger::ServerConfig] {
        &self.redis
    }

    /// Loads the components and binds the ports. `state` is the state folder if none is specified.
    ///
    /// The future is boxed, like that of [`Session::run`], because otherwise every program would
    /// compile this code again.
    pub fn start(
        &self,
        addresses: Addresses,
        state: Option<PathBuf>,
    ) -> BoxFuture<'_, Result<Session>> {
        self.load(addresses, state).boxed()
    }

    async fn load(&self, addresses: Addresses, state: Option<PathBuf>) -> Result<Session> {
        let producer = self.producer()?;
        let mut capabilities: Vec<Arc<dyn Capability>> = vec![Arc::new(ValkeyProvider::default())];
        capabilities.extend(stores::capabilities(&self.options.stores()));
        capabilities.extend(producer.clone().map(|producer| producer as Arc<dyn Capability>));
        let outputs = self.options.outputs(&self.app, state)?;
        let host = self.load_host(outputs, capabilities).await;
        let host = match host {
            Ok(host) => host,
            Err(error) => {
                // A client that is looking up a host name cannot be closed before that has ended.
                tokio::task::spawn_blocking(move || drop(producer));
                return Err(error);
            }
        };
        let has_http = self.app.triggers("http").next().is_some();
        let limits = Arc::new(self.options.limits());
        let server = match addresses.listen.filter(|_| has_http) {
            Some(address) => Some(Server::bind(address, host.services(), limits).await?),
            None => None,
        };
        let for_operators = [addresses.operator, addresses.listen.filter(|_| !has_http)];
        let mut operators = operator_port::bind(for_operators.into_iter().flatten()).await?;
        operators.extend(addresses.bound_operator);
        let triggers = self.triggers.iter().cloned();
        let triggers = triggers.map(|config| KafkaTrigger::new(config, &host));
        let amqp = self.amqp.iter().cloned().map(|config| AmqpTrigger::new(config, &host));
        Ok(Session {
            triggers: triggers.collect::<Result<_, _>>()?,
            amqp: amqp.collect::<Result<_, _>>()?,
            redis: RedisTrigger::new(self.redis.clone(), &host)?,
            host: Arc::new(host),
            server,
            producer,
            operators,
            linger: self.options.linger().min(REQUESTS_LIMIT),
            letters: None,
            metrics: None,
            checks: None,
        })
    }

    /// Loads the components on a separate thread: compiling them may take long, and a signal must
    /// be handled in the meantime.
    async fn load_host(
        &self,
        outputs: Outputs,
        capabilities: Vec<Arc<dyn Capability>>,
    ) -> Result<Host> {
        let (app, variables) = (self.app.clone(), self.variables.clone());
        let (limits, cache) = (self.options.limits(), self.options.cache());
        let client_tls = self.options.client_tls(&self.app)?;
        let load = move || {
            let capabilities = &capabilities;
            Host::load_with_tls(
                &app,
                &variables,
                limits,
                outputs,
                &cache,
                capabilities,
                &client_tls,
            )
        };
        Ok(tokio::task::spawn_blocking(load).await.context("loading the components failed")??)
    }

    /// The host's producers, if a broker is known.
    fn producer(&self) -> Result<Option<Arc<ProducerCapability>>> {
        let config = TriggerConfig::producer_of(&self.triggers, &self.app, &self.variables)?;
        if let Some(ProducerConfig { brokers, .. }) = &config
            && self.triggers.iter().any(|other| other.engine.brokers != *brokers)
        {
            tracing::warn!(brokers, "triggers name several clusters; components write to this one");
        }
        if config.is_none() && !ProducerCapability::writes_to_rabbitmq(&self.app, &self.variables)?
        {
            return Ok(None);
        }
        let producer =
            ProducerCapability::new(config).context("cannot set up the Kafka producer")?;
        Ok(Some(Arc::new(producer)))
    }
}

/// A loaded application with everything that runs it: the HTTP server, the consumers and the
/// operator port.
pub struct Session {
    host: Arc<Host>,
    server: Option<Server>,
    producer: Option<Arc<ProducerCapability>>,
    triggers: Vec<KafkaTrigger>,
    amqp: Vec<AmqpTrigger>,
    redis: Option<RedisTrigger>,
    operators: Vec<TcpListener>,
    /// How long new requests are accepted after the stop.
    linger: Duration,
    letters: Option<LetterService>,
    metrics: Option<MetricsExport>,
    checks: Option<AbortOnDropHandle<()>>,
}

impl Session {
    /// The components, which can be replaced by other builds at run time.
    pub fn builds(&self) -> Builds {
        let batches = self.batch_triggers().map(|trigger| trigger.handler.clone());
        let batches = batches.map(|handler| Box::new(handler) as Box<dyn Caller>);
        let messages = self.redis.iter().flat_map(|redis| redis.handlers());
        let messages = messages.map(|handler| Box::new(handler) as Box<dyn Caller>);
        Builds::new(self.host.clone(), batches.chain(messages).collect())
    }

    /// The Kafka and AMQP triggers.
    fn batch_triggers(&self) -> impl Iterator<Item = &BatchTrigger> {
        let kafka = self.triggers.iter().map(KafkaTrigger::observed);
        kafka.chain(self.amqp.iter().map(AmqpTrigger::observed))
    }

    /// The address of the HTTP components; `None` if there are none.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.server.as_ref().map(Server::address)
    }

    /// The addresses of the operator port.
    pub fn operator_addresses(&self) -> Vec<SocketAddr> {
        self.operators.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Checks the settings of the servers that the application uses, in the background. Each
    /// setting that breaks a guarantee is logged.
    pub fn check_servers(&mut self, prepared: &PreparedApp) {
        let PreparedApp { app, triggers, variables, .. } = prepared;
        let checks = PreflightChecks::new(app, triggers, variables);
        self.checks = Some(AbortOnDropHandle::new(tokio::spawn(checks.run())));
    }

    /// Serves the dead letters of the application's triggers at the operator port. `may_replay` is
    /// whether they may be sent back from there. Returns whether a dead-letter topic is known.
    pub fn serve_dead_letters(&mut self, prepared: &PreparedApp, may_replay: bool) -> bool {
        self.letters = LetterService::new(&prepared.triggers, may_replay);
        self.letters.is_some()
    }

    /// Sends the metrics of the operator port to a collector while the application runs, and their
    /// final values at the end.
    pub fn export_metrics(&mut self, metrics: Option<MetricsExport>) {
        self.metrics = metrics;
    }

    /// Serves and consumes until `stop` resolves or an error occurs, then drains.
    pub fn run(mut self, stop: BoxFuture<'_, ()>) -> BoxFuture<'_, Result<()>> {
        async {
            let _checks = self.checks.take();
            self.running().until(stop).await
        }
        .boxed()
    }

    fn running(mut self) -> Running {
        let stop_serving = CancellationToken::new();
        let letters = self.letters.take();
        let services = self.host.services();
        let batches = self.batch_triggers().map(|trigger| trigger as &dyn Observed);
        let redis = self.redis.iter().map(|trigger| trigger as &dyn Observed);
        let observed: Vec<&dyn Observed> = batches.chain(redis).collect();
        let operator = Operator::new(&observed, &services, self.producer.as_deref(), letters);
        let metrics = self.metrics.map(|export| {
            let operator = operator.clone();
            export.start(Arc::new(move || operator.metrics()))
        });
        let operators = operator_port::serve(self.operators, operator);
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
            consumers: Consumers::start(self.triggers, self.amqp),
            subscriptions: Consumers::subscribe(self.redis),
            linger: self.linger,
            metrics,
        }
    }
}
