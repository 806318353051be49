//! Provides `spin-kafka:events/producer` natively.

use std::sync::Arc;
use std::time::Duration;

use component_host::{Capability, GuestState, Importer};
use host_producer::{Error, ProducerConfig};
use prometheus_client::registry::Registry;
use spin_app::allowed_hosts::AllowedHosts;
use spin_app::app::App;
use spin_app::variables::Variables;
use wasmtime::component::Linker;

use crate::events::{Delivery, Outgoing, ProduceError};
use crate::events_0_1;
use crate::interfaces::{PRODUCER, PRODUCER_0_1, SYNC_PRODUCER};
use crate::producers::{AMQP_URL, FlushError, Producers, RecordProducer, amqp_config};

/// The interfaces of the host's producer.
pub const PRODUCERS: [&str; 3] = [PRODUCER, SYNC_PRODUCER, PRODUCER_0_1];

/// The result of each record of a call.
type Results = Vec<Result<Delivery, ProduceError>>;

/// The host's producers, for components that import one. A component whose variable `amqp_url` has a
/// value writes to RabbitMQ, with a producer of its own. The others share one, which writes to Kafka.
pub struct ProducerCapability {
    kafka: Option<ProducerConfig>,
    producers: Arc<Producers>,
}

impl ProducerCapability {
    /// Provides producers. `kafka` are the settings of that for Kafka, if its brokers are known. None
    /// of them connects yet.
    pub fn new(kafka: impl Into<Option<ProducerConfig>>) -> Result<Self, Error> {
        let kafka = kafka.into();
        if let Some(config) = &kafka {
            config.validate()?;
        }
        Ok(Self { kafka, producers: Arc::default() })
    }

    /// Whether a component of the application writes to RabbitMQ.
    pub fn writes_to_rabbitmq(app: &App, variables: &Variables) -> Result<bool, spin_app::Error> {
        for component in &app.components {
            if let Some(template) = component.config.get(AMQP_URL)
                && !variables.render(template)?.is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Waits until everything that was sent is acknowledged.
    pub async fn flush(&self, deadline: Duration) -> Result<(), FlushError> {
        self.producers.flush(deadline).await
    }

    /// Registers the counters of the producers that components import.
    pub fn register(&self, registry: &mut Registry) {
        self.producers.register(registry);
    }

    /// The producers that components import, and the component of one that only this component uses.
    pub(crate) fn producers(&self) -> Vec<(Option<String>, RecordProducer)> {
        self.producers.all()
    }
}

impl Capability for ProducerCapability {
    fn interfaces(&self) -> &[&str] {
        &PRODUCERS
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let producers = self.producers.clone();
        linker.instance(PRODUCER)?.func_wrap_concurrent(
            "send",
            move |accessor, (records,): (Vec<Outgoing>,)| {
                let producer = accessor.with(|mut access| producers.of(access.get().component()));
                Box::pin(async move { Ok((send(&producer?, records).await,)) })
            },
        )?;
        let producers = self.producers.clone();
        linker.instance(SYNC_PRODUCER)?.func_wrap_async(
            "send",
            move |store, (records,): (Vec<Outgoing>,)| {
                let producer = producers.of(store.data().component());
                Box::new(async move { Ok((send(&producer?, records).await,)) })
            },
        )?;
        let producers = self.producers.clone();
        linker.instance(PRODUCER_0_1)?.func_wrap_concurrent(
            "send",
            move |accessor, (records,): (Vec<events_0_1::Outgoing>,)| {
                let producer = accessor.with(|mut access| producers.of(access.get().component()));
                Box::pin(async move { Ok((send_0_1(&producer?, records).await,)) })
            },
        )
    }

    fn check(&self, importer: &Importer<'_>) -> Result<(), String> {
        if let Some(config) = amqp_config(importer.variables)? {
            return check_allowed(importer.allowed, config.address.host(), config.address.port());
        }
        let Some(config) = &self.kafka else {
            return Err(format!(
                "it imports spin-kafka:events/producer, but no broker is known: set `brokers` in \
                 [application.trigger.kafka], or the variable `{AMQP_URL}` of the component"
            ));
        };
        for broker in config.brokers.split(',').map(str::trim) {
            let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
            let port = port
                .parse()
                .map_err(|_| format!("broker `{broker}`: the port is not a number up to 65535"))?;
            check_allowed(importer.allowed, host, port)?;
        }
        Ok(())
    }

    fn prepare(&self, importer: &Importer<'_>) -> Result<(), String> {
        if let Some(config) = amqp_config(importer.variables)? {
            self.producers.prepare_amqp(importer.component, config);
            return Ok(());
        }
        // Without settings, the check has failed.
        self.kafka.as_ref().map_or(Ok(()), |config| self.producers.prepare_kafka(config))
    }
}

/// Fails if the component may not connect to the broker.
fn check_allowed(allowed: &AllowedHosts, host: &str, port: u16) -> Result<(), String> {
    if allowed.allows("tcp", host, port) {
        return Ok(());
    }
    Err(format!(
        "it imports spin-kafka:events/producer, but is not allowed to connect to the broker; add \
         \"tcp://{host}:{port}\" to its allowed_outbound_hosts"
    ))
}

async fn send(producer: &RecordProducer, records: Vec<Outgoing>) -> Results {
    let results = producer.send_each(records.into_iter().map(Into::into).collect()).await;
    results.into_iter().map(|result| result.map(Into::into).map_err(Into::into)).collect()
}

/// In version 0.1.0 a call has one error.
async fn send_0_1(
    producer: &RecordProducer,
    records: Vec<events_0_1::Outgoing>,
) -> Result<Vec<events_0_1::Delivery>, ProduceError> {
    let deliveries = producer.send(records.into_iter().map(Into::into).collect()).await?;
    Ok(deliveries.into_iter().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use host_producer::OutgoingRecord;
    use prometheus_client::encoding::text::encode;

    use super::*;

    const AMQP: &str = "amqp://guest:hunter2@rabbit:5673/%2f";

    fn metrics(producer: &ProducerCapability) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        producer.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text
    }

    /// Calls `with` for a component with these allowed hosts and this variable `amqp_url`.
    fn importing<T>(entries: &[&str], url: &str, with: impl FnOnce(&Importer<'_>) -> T) -> T {
        let entries: Vec<String> = entries.iter().map(|&entry| entry.into()).collect();
        let allowed = AllowedHosts::parse("writer", &entries, &Default::default()).unwrap();
        let variables = BTreeMap::from([(AMQP_URL.to_owned(), url.to_owned())]);
        with(&Importer {
            component: "writer",
            allowed: &allowed,
            variables: &variables,
            key_value_stores: &[],
        })
    }

    #[tokio::test]
    async fn its_counters_are_registered_once_a_component_imports_it() {
        for (url, prefix, label) in
            [("", "kafka_producer", ""), (AMQP, "amqp_producer", "{component=\"writer\"}")]
        {
            let provided = ProducerCapability::new(ProducerConfig::new("127.0.0.1:1")).unwrap();
            assert_eq!(metrics(&provided), "# EOF\n");
            importing(&[], url, |importer| provided.prepare(importer)).unwrap();
            let undeliverable = OutgoingRecord::default();
            let producer = provided.producers.of("writer").unwrap();
            let sent = producer.send(vec![undeliverable.clone(), undeliverable]).await;
            assert!(matches!(sent, Err(host_producer::ProduceError::Refused(_))), "{sent:?}");
            let text = metrics(&provided);
            for (counter, count) in [
                ("records", 2),
                ("delivered", 0),
                ("queue_full", 0),
                ("failed", 2),
                ("replaced", 0),
            ] {
                let line = format!("{prefix}_{counter}_total{label} {count}");
                assert!(text.lines().any(|found| found == line), "`{line}` is not in:\n{text}");
            }
        }
    }

    #[tokio::test]
    async fn the_check_requires_every_broker_and_starts_nothing() {
        let config = ProducerConfig::new("kafka-0:9093, kafka-1");
        let provided = ProducerCapability::new(config).unwrap();
        let check =
            |entries: &[&str], url| importing(entries, url, |importer| provided.check(importer));
        for (allowed, url, missing) in [
            (&[][..], "", "tcp://kafka-0:9093"),
            (&["tcp://kafka-0:9093"], "", "tcp://kafka-1:9092"),
            (&["tcp://kafka-0:9093", "tcp://kafka-1:9093"], "", "tcp://kafka-1:9092"),
            (&["http://*:*"], "", "tcp://kafka-0:9093"),
            (&["tcp://kafka-0:9093", "tcp://kafka-1:9092"], AMQP, "tcp://rabbit:5673"),
            (&["tcp://*:*"], "http://guest:hunter2@rabbit", "`amqp_url`"),
        ] {
            let error = check(allowed, url).unwrap_err();
            assert!(error.contains(missing), "`{missing}` is not in: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert_eq!(check(&["tcp://kafka-0:9093", "tcp://kafka-1:9092"], ""), Ok(()));
        assert_eq!(check(&["tcp://rabbit:5673"], AMQP), Ok(()));
        assert!(provided.producers().is_empty());
        let without_kafka = ProducerCapability::new(None).unwrap();
        let error = importing(&[], "", |importer| without_kafka.check(importer)).unwrap_err();
        assert!(error.contains("no broker is known"), "{error}");
    }
}
