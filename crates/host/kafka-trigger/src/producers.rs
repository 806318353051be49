//! The producers of the process: one for Kafka, and one for each component that writes to RabbitMQ.

use std::collections::BTreeMap;
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use futures::future::join_all;
use host_producer::{Delivery, OutgoingRecord, ProduceError, ProducerConfig};
use prometheus_client::registry::Registry;

/// The variable of a component with the URL of the broker, if it writes to RabbitMQ.
pub(crate) const AMQP_URL: &str = "amqp_url";
/// The variable with the certificates (PEM) of authorities that may sign the broker's certificate.
const AMQP_AUTHORITIES: &str = "amqp_ca";
/// The variable with the exchange.
const AMQP_EXCHANGE: &str = "amqp_exchange";

/// The prefixes of the names of metrics.
const KAFKA_PREFIX: &str = "kafka_producer";
const AMQP_PREFIX: &str = "amqp_producer";

/// A producer.
#[derive(Clone)]
pub(crate) enum RecordProducer {
    Kafka(host_producer::Producer),
    Amqp(amqp_producer::Producer),
}

/// Records were not acknowledged at the end of a flush. They may or may not be written.
#[derive(Debug, thiserror::Error)]
pub enum FlushError {
    /// By Kafka.
    #[error(transparent)]
    Kafka(#[from] host_producer::Error),
    /// By RabbitMQ.
    #[error(transparent)]
    Amqp(#[from] amqp_producer::FlushError),
}

impl RecordProducer {
    /// Writes the records. Returns one result for each record, in their order.
    pub async fn send_each(
        &self,
        records: Vec<OutgoingRecord>,
    ) -> Vec<Result<Delivery, ProduceError>> {
        match self {
            Self::Kafka(producer) => producer.send_each(records).await,
            Self::Amqp(producer) => producer.send_each(records).await,
        }
    }

    /// The same. Fails if one of the records fails; others may have been written.
    pub async fn send(&self, records: Vec<OutgoingRecord>) -> Result<Vec<Delivery>, ProduceError> {
        self.send_each(records).await.into_iter().collect()
    }

    /// Why records cannot be written; `None` if that is not the case.
    pub async fn fault(&self) -> Option<String> {
        match self {
            Self::Kafka(producer) => producer.fault().await,
            Self::Amqp(producer) => producer.fault(),
        }
    }

    async fn flush(&self, limit: Duration) -> Result<(), FlushError> {
        match self {
            Self::Kafka(producer) => Ok(producer.flush(limit).await?),
            Self::Amqp(producer) => Ok(producer.flush(limit).await?),
        }
    }
}

/// The producers that components use.
#[derive(Default)]
pub(crate) struct Producers {
    kafka: OnceLock<host_producer::Producer>,
    /// Those of the components that write to RabbitMQ, by the component. They do not share one,
    /// because they may differ in the broker, and in the hosts that they may connect to.
    amqp: RwLock<BTreeMap<String, amqp_producer::Producer>>,
}

impl Producers {
    /// The producer of a component, which was prepared before the component can run.
    pub fn of(&self, component: &str) -> wasmtime::Result<RecordProducer> {
        if let Some(producer) = self.amqp().get(component) {
            return Ok(RecordProducer::Amqp(producer.clone()));
        }
        let kafka = self.kafka.get().cloned().map(RecordProducer::Kafka);
        kafka.ok_or_else(|| {
            wasmtime::format_err!("the producer was not prepared for the component `{component}`")
        })
    }

    /// Creates the producer for Kafka, unless there is one.
    pub fn prepare_kafka(&self, config: &ProducerConfig) -> Result<(), String> {
        if self.kafka.get().is_some() {
            return Ok(());
        }
        let producer = host_producer::Producer::new(config.clone())
            .map_err(|error| format!("cannot set up the Kafka producer: {error}"))?;
        // `set` fails if another component that is being loaded has just set a producer. All
        // components then use that one.
        let _ = self.kafka.set(producer);
        Ok(())
    }

    /// Creates the producer of a component that writes to RabbitMQ, unless there is one.
    pub fn prepare_amqp(&self, component: &str, config: amqp_producer::Config) {
        let mut amqp = self.amqp.write().unwrap_or_else(PoisonError::into_inner);
        amqp.entry(component.into()).or_insert_with(|| amqp_producer::Producer::new(config));
    }

    /// All producers, and the component of one that only this component uses.
    pub fn all(&self) -> Vec<(Option<String>, RecordProducer)> {
        let kafka = self.kafka.get().cloned().map(|kafka| (None, RecordProducer::Kafka(kafka)));
        let amqp = self.amqp();
        let amqp = amqp.iter().map(|(component, producer)| {
            (Some(component.clone()), RecordProducer::Amqp(producer.clone()))
        });
        kafka.into_iter().chain(amqp).collect()
    }

    /// Waits until everything that was sent is acknowledged.
    pub async fn flush(&self, limit: Duration) -> Result<(), FlushError> {
        let all = self.all();
        let flushes = all.iter().map(|(_, producer)| producer.flush(limit));
        join_all(flushes).await.into_iter().collect()
    }

    /// Registers the counters.
    pub fn register(&self, registry: &mut Registry) {
        if let Some(producer) = self.kafka.get() {
            producer.metrics().register(KAFKA_PREFIX, registry);
        }
        for (component, producer) in self.amqp().iter() {
            let label = ("component".into(), component.clone().into());
            let registry = registry.sub_registry_with_label(label);
            producer.metrics().register(AMQP_PREFIX, registry);
        }
    }

    fn amqp(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, amqp_producer::Producer>> {
        self.amqp.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The settings of a component's producer for RabbitMQ, by its variables; `None` if it does not write
/// there. The error names the variable.
pub(crate) fn amqp_config(
    variables: &BTreeMap<String, String>,
) -> Result<Option<amqp_producer::Config>, String> {
    let variable = |name: &str| variables.get(name).filter(|value| !value.is_empty());
    let Some(url) = variable(AMQP_URL) else { return Ok(None) };
    let exchange = variable(AMQP_EXCHANGE).cloned().unwrap_or_default();
    let config = amqp_producer::Config::new(url, variable(AMQP_AUTHORITIES).cloned(), exchange);
    config.map(Some).map_err(|error| {
        use amqp_client::AddressError;
        use amqp_producer::ConfigError;
        let name = match error {
            ConfigError::Address(AddressError::Url) => AMQP_URL,
            ConfigError::Address(AddressError::Authorities) => AMQP_AUTHORITIES,
            ConfigError::Exchange => AMQP_EXCHANGE,
        };
        format!("Spin variable `{name}`: {error}")
    })
}
