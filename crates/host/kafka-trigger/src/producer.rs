//! Provides `spin-kafka:events/producer` natively, with one producer for all instances of the
//! process.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use component_host::{Capability, GuestState};
use host_producer::{Error, Producer, ProducerConfig};
use prometheus_client::registry::Registry;
use spin_app::allowed_hosts::AllowedHosts;
use wasmtime::component::Linker;

use crate::events::{Delivery, Outgoing, ProduceError};
use crate::events_0_1;
use crate::interfaces::{PRODUCER, PRODUCER_0_1, SYNC_PRODUCER};

/// The interfaces of the host's producer.
pub const PRODUCERS: [&str; 3] = [PRODUCER, SYNC_PRODUCER, PRODUCER_0_1];

/// The result of each record of a call.
type Results = Vec<Result<Delivery, ProduceError>>;

/// The host's producer, for components that import it. It connects when the first of them is
/// loaded.
pub struct ProducerCapability {
    config: ProducerConfig,
    producer: Arc<OnceLock<Producer>>,
}

impl ProducerCapability {
    /// Provides a producer with these settings. It does not connect yet.
    pub fn new(config: ProducerConfig) -> Result<Self, Error> {
        config.validate()?;
        Ok(Self { config, producer: Arc::default() })
    }

    /// Waits until everything that was sent is acknowledged.
    pub async fn flush(&self, deadline: Duration) -> Result<(), Error> {
        match self.producer.get() {
            Some(producer) => producer.flush(deadline).await,
            None => Ok(()),
        }
    }

    /// Registers the counters, if a component imports the producer.
    pub fn register(&self, registry: &mut Registry) {
        if let Some(producer) = self.producer.get() {
            producer.metrics().register(registry);
        }
    }

    /// The producer, if a component imports it.
    pub(crate) fn producer(&self) -> Option<Producer> {
        self.producer.get().cloned()
    }
}

impl Capability for ProducerCapability {
    fn interfaces(&self) -> &[&str] {
        &PRODUCERS
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let producer = self.producer.clone();
        linker.instance(PRODUCER)?.func_wrap_concurrent(
            "send",
            move |_, (records,): (Vec<Outgoing>,)| {
                let producer = prepared(&producer);
                Box::pin(async move { Ok((send(&producer?, records).await,)) })
            },
        )?;
        let producer = self.producer.clone();
        linker.instance(SYNC_PRODUCER)?.func_wrap_async(
            "send",
            move |_, (records,): (Vec<Outgoing>,)| {
                let producer = prepared(&producer);
                Box::new(async move { Ok((send(&producer?, records).await,)) })
            },
        )?;
        let producer = self.producer.clone();
        linker.instance(PRODUCER_0_1)?.func_wrap_concurrent(
            "send",
            move |_, (records,): (Vec<events_0_1::Outgoing>,)| {
                let producer = prepared(&producer);
                Box::pin(async move { Ok((send_0_1(&producer?, records).await,)) })
            },
        )
    }

    fn check(&self, allowed: &AllowedHosts) -> Result<(), String> {
        for broker in self.config.brokers.split(',').map(str::trim) {
            let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
            let port = port
                .parse()
                .map_err(|_| format!("broker `{broker}`: the port is not a number up to 65535"))?;
            if !allowed.allows("tcp", host, port) {
                return Err(format!(
                    "it imports spin-kafka:events/producer, but is not allowed to connect to the \
                     broker; add \"tcp://{host}:{port}\" to its allowed_outbound_hosts"
                ));
            }
        }
        Ok(())
    }

    fn prepare(&self) -> Result<(), String> {
        if self.producer.get().is_some() {
            return Ok(());
        }
        let producer = Producer::new(self.config.clone())
            .map_err(|error| format!("cannot set up the Kafka producer: {error}"))?;
        // `set` fails if another component that is being loaded has just set a producer. All
        // components then use that one.
        let _ = self.producer.set(producer);
        Ok(())
    }
}

/// The producer, which `prepare` creates before a component that imports it can run.
fn prepared(producer: &OnceLock<Producer>) -> wasmtime::Result<Producer> {
    let producer = producer.get().cloned();
    producer
        .ok_or_else(|| wasmtime::format_err!("the producer was not prepared for this component"))
}

async fn send(producer: &Producer, records: Vec<Outgoing>) -> Results {
    let results = producer.send_each(records.into_iter().map(Into::into).collect()).await;
    results.into_iter().map(|result| result.map(Into::into).map_err(Into::into)).collect()
}

/// In version 0.1.0 a call has one error.
async fn send_0_1(
    producer: &Producer,
    records: Vec<events_0_1::Outgoing>,
) -> Result<Vec<events_0_1::Delivery>, ProduceError> {
    let deliveries = producer.send(records.into_iter().map(Into::into).collect()).await?;
    Ok(deliveries.into_iter().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use host_producer::OutgoingRecord;
    use prometheus_client::encoding::text::encode;

    use super::*;

    fn metrics(producer: &ProducerCapability) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        producer.register(&mut registry);
        encode(&mut text, &registry).unwrap();
        text
    }

    #[tokio::test]
    async fn its_counters_are_registered_once_a_component_imports_it() {
        let provided = ProducerCapability::new(ProducerConfig::new("127.0.0.1:1")).unwrap();
        assert_eq!(metrics(&provided), "# EOF\n");
        provided.prepare().unwrap();
        let undeliverable = OutgoingRecord { topic: "no topic".into(), ..Default::default() };
        let sent =
            provided.producer.get().unwrap().send(vec![undeliverable.clone(), undeliverable]).await;
        assert!(matches!(sent, Err(host_producer::ProduceError::Refused(_))), "{sent:?}");
        let text = metrics(&provided);
        for line in [
            "kafka_producer_records_total 2",
            "kafka_producer_delivered_total 0",
            "kafka_producer_queue_full_total 0",
            "kafka_producer_failed_total 2",
            "kafka_producer_replaced_total 0",
        ] {
            assert!(text.lines().any(|found| found == line), "`{line}` is not in:\n{text}");
        }
    }

    #[tokio::test]
    async fn the_check_requires_every_broker_and_starts_nothing() {
        let config = ProducerConfig::new("kafka-0:9093, kafka-1");
        let provided = ProducerCapability::new(config).unwrap();
        let check = |entries: &[&str]| {
            let entries: Vec<String> = entries.iter().map(|&entry| entry.into()).collect();
            let allowed = AllowedHosts::parse("writer", &entries, &Default::default()).unwrap();
            provided.check(&allowed)
        };
        for (allowed, missing) in [
            (&[][..], "tcp://kafka-0:9093"),
            (&["tcp://kafka-0:9093"], "tcp://kafka-1:9092"),
            (&["tcp://kafka-0:9093", "tcp://kafka-1:9093"], "tcp://kafka-1:9092"),
            (&["http://*:*"], "tcp://kafka-0:9093"),
        ] {
            let error = check(allowed).unwrap_err();
            assert!(error.contains(missing), "`{missing}` is not in: {error}");
        }
        assert_eq!(check(&["tcp://kafka-0:9093", "tcp://kafka-1:9092"]), Ok(()));
        assert!(provided.producer().is_none());
    }
}
