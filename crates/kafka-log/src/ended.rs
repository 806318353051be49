//! After which errors a producer is replaced.

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

/// Whether the producer that got this error is replaced before the next record: it can never
/// write again, or the record timed out though a broker could be reached.
///
/// Such a record may have gone to a broker that does not lead its partition: librdkafka keeps the
/// leader epoch of a deleted topic, and ignores the leaders of a new topic of that name until
/// their epoch reaches it.
pub fn is_replaced_after(code: Code, reachable: bool) -> bool {
    ends_producer(code) || (reachable && code == Code::MessageTimedOut)
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
        assert!(is_replaced_after(Code::MessageTimedOut, true));
        assert!(!is_replaced_after(Code::MessageTimedOut, false));
        assert!(!is_replaced_after(Code::QueueFull, true));
    }
}
