//! Sends records through `spin-kafka:events/producer`.

use guest_http::report;
use intake::IntakeError;
use sale::Violation;

use crate::bindings::spin_kafka::events::producer;
use crate::bindings::spin_kafka::events::types::ProduceError;

pub use crate::bindings::spin_kafka::events::types::{Header, Outgoing};

/// Sends records and waits for the broker's acknowledgements. Fails with the first error; the other
/// records may have been written.
pub async fn send(records: Vec<Outgoing>) -> Result<(), IntakeError> {
    let count = records.len();
    let results = producer::send(records).await;
    if results.len() != count {
        let text = "the producer did not return a result for each record";
        return Err(IntakeError::Other(text.into()));
    }
    results.into_iter().try_for_each(|result| result.map(drop).map_err(failure))
}

fn failure(error: ProduceError) -> IntakeError {
    match error {
        ProduceError::QueueFull => {
            IntakeError::Overloaded("the producer's queue is full; try again later".into())
        }
        ProduceError::TimedOut(text) => IntakeError::TimedOut(text),
        ProduceError::Unavailable(text) => IntakeError::Unavailable(text),
        ProduceError::TooLarge(text) => {
            // The text names the topic and the brokers, so it is logged but not sent to the client.
            report(&IntakeError::Other(text));
            IntakeError::Invalid(Violation::new("body", "is longer than the topic allows"))
        }
        ProduceError::Refused(text) | ProduceError::Other(text) => IntakeError::Other(text),
    }
}
