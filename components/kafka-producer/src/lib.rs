//! A Kafka producer for hosts that do not provide `spin-kafka:events/producer` themselves, such as
//! Spin's HTTP trigger.
//!
//! An instance has one producer, which all its calls share. There is no background task: the
//! connections are driven by the waiting calls. So an instance without calls is idle and can be
//! dropped by its host, which closes the connections. A call after a longer pause closes idle
//! connections and opens new ones.

mod network;
mod settings;

use std::cell::OnceCell;
use std::rc::Rc;

use bindings::exports::spin_kafka::events::producer::Guest;
use wasm_producer::{Delivery, OutgoingRecord, ProduceError, Producer};

use network::Sockets;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:kafka-producer/component",
        path: ["../../wit/spin-kafka-events", "world.wit"],
        with: {
            "spin-kafka:events/types@0.2.0/header": wasm_producer::Header,
            "spin-kafka:events/types@0.2.0/outgoing": wasm_producer::OutgoingRecord,
            "spin-kafka:events/types@0.2.0/delivery": wasm_producer::Delivery,
            "spin-kafka:events/types@0.2.0/produce-error": wasm_producer::ProduceError,
        },
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
    async fn send(records: Vec<OutgoingRecord>) -> Vec<Result<Delivery, ProduceError>> {
        match producer().await {
            Ok(producer) => producer.send_each(records).await,
            Err(fault) => records.iter().map(|_| Err(ProduceError::Other(fault.clone()))).collect(),
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
