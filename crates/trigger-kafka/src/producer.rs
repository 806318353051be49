//! `spin-kafka:events/producer`, provided natively: one producer for every instance of the
//! process.

use component_host::allowed_hosts::AllowedHosts;
use component_host::{Capability, GuestState};
use host_producer::{Header as OutgoingHeader, OutgoingRecord, Producer};
use wasmtime::component::Linker;

use crate::events::{Delivery, Outgoing, PRODUCER, ProduceError};

/// The host's producer, for components that import it.
pub struct ProducerCapability {
    producer: Producer,
    /// Bootstrap brokers, `host:port`.
    brokers: Vec<String>,
}

impl ProducerCapability {
    /// Provides `producer`, which writes to `brokers` (comma-separated `host:port`).
    pub fn new(producer: Producer, brokers: &str) -> Self {
        let brokers = brokers.split(',').map(|broker| broker.trim().into()).collect();
        Self { producer, brokers }
    }
}

impl Capability for ProducerCapability {
    fn interface(&self) -> &str {
        PRODUCER
    }

    fn add_to_linker(&self, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
        let producer = self.producer.clone();
        linker.instance(PRODUCER)?.func_wrap_concurrent(
            "send",
            move |_, (records,): (Vec<Outgoing>,)| {
                let producer = producer.clone();
                Box::pin(async move { Ok((send(&producer, records).await,)) })
            },
        )
    }

    fn permits(&self, allowed: &AllowedHosts) -> Result<(), String> {
        for broker in &self.brokers {
            let (host, port) = broker.rsplit_once(':').unwrap_or((broker, "9092"));
            let port = port.parse().map_err(|_| format!("broker `{broker}`: no port"))?;
            if !allowed.allows("tcp", host, port) {
                return Err(format!(
                    "it imports {PRODUCER}, but may not reach the broker; add \
                     \"tcp://{host}:{port}\" to its allowed_outbound_hosts"
                ));
            }
        }
        Ok(())
    }
}

async fn send(producer: &Producer, records: Vec<Outgoing>) -> Result<Vec<Delivery>, ProduceError> {
    let records = records.into_iter().map(record).collect();
    match producer.send(records).await {
        Ok(deliveries) => Ok(deliveries
            .into_iter()
            .map(|delivery| Delivery { partition: delivery.partition, offset: delivery.offset })
            .collect()),
        Err(error) => Err(failure(error)),
    }
}

fn record(outgoing: Outgoing) -> OutgoingRecord {
    OutgoingRecord {
        topic: outgoing.topic,
        key: outgoing.key,
        value: outgoing.value,
        headers: outgoing
            .headers
            .into_iter()
            .map(|header| OutgoingHeader { name: header.name, value: header.value })
            .collect(),
    }
}

fn failure(error: host_producer::ProduceError) -> ProduceError {
    use host_producer::ProduceError as Native;
    match error {
        Native::QueueFull => ProduceError::QueueFull,
        Native::TimedOut(text) => ProduceError::TimedOut(text),
        Native::Unavailable(text) => ProduceError::Unavailable(text),
        Native::TooLarge(text) => ProduceError::TooLarge(text),
        Native::Refused(text) => ProduceError::Refused(text),
        Native::Other(text) => ProduceError::Other(text),
    }
}
