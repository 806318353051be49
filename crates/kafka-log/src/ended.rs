//! Which errors end a producer.

use rdkafka::error::RDKafkaErrorCode as Code;

/// Whether the idempotent producer that got this error can never write again: the log no longer
/// holds what it wrote before, or another client took its place. The broker did not write the
/// record, or the client gave it up before sending it.
pub fn ends_producer(code: Code) -> bool {
    matches!(
        code,
        Code::Fatal
            | Code::Fenced
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::OutOfOrderSequenceNumber
            | Code::ProducerFenced
            | Code::UnknownProducerId
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_try_may_mend_ends_no_producer() {
        for code in [Code::Fatal, Code::OutOfOrderSequenceNumber, Code::UnknownProducerId] {
            assert!(ends_producer(code), "{code:?}");
        }
        for code in [Code::MessageTimedOut, Code::QueueFull, Code::MessageSizeTooLarge] {
            assert!(!ends_producer(code), "{code:?}");
        }
    }
}
