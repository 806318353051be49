//! The errors after which a producer is replaced.

use rdkafka::error::RDKafkaErrorCode as Code;

/// Whether this error means that an idempotent producer can never write again: the log does not
/// contain what it wrote before, or another client took its id. The record was not written: the
/// broker rejected it, or the client gave it up before sending it.
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

/// Whether a producer is replaced after this error, before the next record: it can never write
/// again, or the record timed out although a broker could be reached.
///
/// Such a record may have been sent to a broker that is not the leader of its partition: librdkafka
/// keeps the leader epoch of a deleted topic, and ignores the leaders of a new topic with the same
/// name until their epoch reaches it.
pub fn is_replaced_after(code: Code, reachable: bool) -> bool {
    ends_producer(code) || (reachable && code == Code::MessageTimedOut)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_a_retry_may_fix_does_not_end_the_producer() {
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
