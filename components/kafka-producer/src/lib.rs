//! A Kafka producer for hosts that do not provide `spin-kafka:events/producer` themselves, such as
//! Spin's HTTP trigger.
//!
//! An instance has one producer, which all its calls share. There is no background task: the
//! connections are driven by the waiting calls. So an instance without calls is idle and can be
//! dropped by its host, which closes the connections. A call after a longer pause closes idle
//! connections and opens new ones.

mod convert;
mod network;
mod settings;

use std::cell::OnceCell;
use std::rc::Rc;

use bindings::exports::spin_kafka::events::producer::{Delivery, Guest, Outgoing, ProduceError};
use guest_tasks::calmly;
use wasm_producer::Producer;

use network::Sockets;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:kafka-producer/component",
        path: ["../../wit/spin-kafka-events", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::KafkaProducer;
    export!(KafkaProducer);
}

thread_local! {
    /// The instance's producer. It is never replaced, because its sequence numbers must continue.
    static PRODUCER: OnceCell<Rc<Producer<Sockets>>> = const { OnceCell::new() };
}

struct KafkaProducer;

impl Guest for KafkaProducer {
    async fn send(records: Vec<Outgoing>) -> Result<Vec<Delivery>, ProduceError> {
        let producer = producer().await.map_err(ProduceError::Other)?;
        let records = records.into_iter().map(convert::record).collect();
        match calmly(producer.send(records)).await {
            Ok(deliveries) => Ok(deliveries.into_iter().map(convert::delivery).collect()),
            Err(error) => Err(convert::error(error)),
        }
    }
}

async fn producer() -> Result<Rc<Producer<Sockets>>, String> {
    if let Some(producer) = PRODUCER.with(|producer| producer.get().cloned()) {
        return Ok(producer);
    }
    let config = settings::read().await?;
    let made = Producer::new(config, Sockets).map_err(|e| settings::wrong(settings::BROKERS, e))?;
    // Another call may have created it in between.
    Ok(PRODUCER.with(|producer| producer.get_or_init(|| Rc::new(made)).clone()))
}
