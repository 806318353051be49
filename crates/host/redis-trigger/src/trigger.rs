//! All Redis triggers of an application, ready to run.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use component_host::Host;
use kafka_trigger::{Health, Observed};
use prometheus_client::registry::Registry;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use valkey_client::Subscription;

use crate::handler::MessageHandler;
use crate::limits::MESSAGE_BYTES_MAX;
use crate::metrics::Metrics;
use crate::recipient::ComponentRecipient;
use crate::report::INTERVAL;
use crate::server::{Channel, Server};
use crate::{Error, ServerConfig};

/// The Redis triggers of an application with their components.
pub struct RedisTrigger {
    servers: Vec<Server<ComponentRecipient>>,
    recipients: Vec<ComponentRecipient>,
    metrics: Metrics,
}

impl RedisTrigger {
    /// The triggers with these settings; `None` if there are no settings. Fails if a component is not
    /// loaded, or does not export a handler.
    pub fn new(configs: Vec<ServerConfig>, host: &Host) -> Result<Option<Self>, Error> {
        if configs.is_empty() {
            return Ok(None);
        }
        let metrics = Metrics::default();
        let mut recipients = BTreeMap::<String, ComponentRecipient>::new();
        let mut recipient = |component: &String| {
            Ok::<_, Error>(match recipients.entry(component.clone()) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(unknown) => {
                    unknown.insert(ComponentRecipient::new(host, component, &metrics)?).clone()
                }
            })
        };
        let mut servers = Vec::with_capacity(configs.len());
        for ServerConfig { servers: address, channels } in configs {
            let name = address.to_string();
            let names = channels.keys().cloned().collect();
            let subscription = Subscription::new(address, names, MESSAGE_BYTES_MAX);
            let subscription =
                subscription.map_err(|message| Error::Tls { server: name.clone(), message })?;
            let channels = channels.into_iter().map(|(channel, components)| {
                let recipients = components.iter().map(&mut recipient).collect::<Result<_, _>>()?;
                let metrics = metrics.channel(&name, &channel);
                let key = channel.clone().into_bytes();
                let drops = Default::default();
                Ok((key, Arc::new(Channel { name: channel, recipients, metrics, drops })))
            });
            servers.push(Server {
                channels: channels.collect::<Result<_, Error>>()?,
                metrics: metrics.server(&name),
                name: name.into(),
                subscription,
                is_subscribed: Arc::default(),
            });
        }
        let recipients = recipients.into_values().collect();
        Ok(Some(Self { servers, recipients, metrics }))
    }

    /// The handlers, which can be given other builds of their components at run time.
    pub fn handlers(&self) -> impl Iterator<Item = MessageHandler> {
        self.recipients.iter().map(ComponentRecipient::handler)
    }

    /// Receives messages until `shutdown` resolves, then drains.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let log = Log::new(&self);
        let stop = CancellationToken::new();
        let mut running: JoinSet<_> =
            self.servers.into_iter().map(|server| server.run(stop.clone())).collect();
        let stopping = async {
            shutdown.await;
            stop.cancel();
            std::future::pending::<()>().await;
        };
        let all = async {
            while let Some(ended) = running.join_next().await {
                ended.flatten()?;
            }
            Ok(())
        };
        tokio::select! {
            ended = all => ended,
            () = stopping => Ok(()),
            never = log.run() => match never {},
        }
    }
}

/// Logs messages that were dropped or not handled: once in an interval, and when it is dropped.
struct Log {
    channels: Vec<(Arc<str>, Arc<Channel<ComponentRecipient>>)>,
    recipients: Vec<ComponentRecipient>,
}

impl Log {
    fn new(trigger: &RedisTrigger) -> Self {
        let channels = trigger.servers.iter().flat_map(|server| {
            server.channels.values().map(|channel| (server.name.clone(), channel.clone()))
        });
        Self { channels: channels.collect(), recipients: trigger.recipients.clone() }
    }

    async fn run(&self) -> Infallible {
        loop {
            sleep(INTERVAL).await;
            self.write();
        }
    }

    fn write(&self) {
        self.channels.iter().for_each(|(server, channel)| channel.log_drops(server));
        self.recipients.iter().for_each(ComponentRecipient::log_failures);
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.write();
    }
}

/// Whether the channels of each server are subscribed to.
struct Subscriptions(Vec<(Arc<str>, Arc<AtomicBool>)>);

impl Health for Subscriptions {
    fn obstacles(&self) -> Vec<String> {
        let lost =
            self.0.iter().filter(|(_, is_subscribed)| !is_subscribed.load(Ordering::Relaxed));
        lost.map(|(server, _)| format!("not subscribed to the channels of Redis at {server}"))
            .collect()
    }
}

impl Observed for RedisTrigger {
    fn register(&self, registry: &mut Registry) {
        self.metrics.register(registry);
    }

    fn health(&self) -> Arc<dyn Health> {
        let servers = self.servers.iter();
        let states = servers.map(|server| (server.name.clone(), server.is_subscribed.clone()));
        Arc::new(Subscriptions(states.collect()))
    }
}
