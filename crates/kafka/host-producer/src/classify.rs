//! Translates librdkafka's errors into those of a record.

use kafka_client::ends_producer;
use kafka_record::ProduceError;
use rdkafka::error::RDKafkaErrorCode as Code;

/// The class of librdkafka's error. `reachable` says whether a broker could be reached: librdkafka
/// reports a timeout also for a record that waited for an unreachable broker.
pub fn classify(code: Code, topic: &str, brokers: &str, reachable: bool) -> ProduceError {
    let text = format!("topic `{topic}` at {brokers}: {code}");
    match code {
        Code::QueueFull => ProduceError::QueueFull,
        // The record was sent; whether it was written is unknown.
        Code::PurgeInflight => ProduceError::TimedOut(text),
        Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut => {
            if reachable {
                ProduceError::TimedOut(text)
            } else {
                ProduceError::Unavailable(text)
            }
        }
        Code::AllBrokersDown
        | Code::BrokerNotAvailable
        | Code::BrokerTransportFailure
        | Code::ISRInsufficient
        | Code::KafkaStorageError
        | Code::LeaderNotAvailable
        | Code::NetworkException
        | Code::NotEnoughReplicas
        | Code::NotEnoughReplicasAfterAppend
        | Code::NotLeaderForPartition
        | Code::Resolve
        // It was dropped with its client before it was sent.
        | Code::PurgeQueue => ProduceError::Unavailable(text),
        code if ends_producer(code) => ProduceError::Unavailable(text),
        Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge => {
            ProduceError::TooLarge(text)
        }
        Code::Authentication
        | Code::ClusterAuthorizationFailed
        | Code::InvalidRecord
        | Code::InvalidTopic
        | Code::PolicyViolation
        | Code::SaslAuthenticationFailed
        | Code::TopicAuthorizationFailed
        | Code::UnknownPartition
        | Code::UnknownTopic
        | Code::UnknownTopicOrPartition => ProduceError::Refused(text),
        _ => ProduceError::Other(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(code: Code, reachable: bool) -> ProduceError {
        classify(code, "sales-topic", "kafka:9092", reachable)
    }

    #[test]
    fn a_time_out_without_a_broker_is_unavailable() {
        assert!(matches!(class(Code::MessageTimedOut, true), ProduceError::TimedOut(_)));
        assert!(matches!(class(Code::MessageTimedOut, false), ProduceError::Unavailable(_)));
    }

    #[test]
    fn texts_name_topic_and_brokers() {
        let ProduceError::Refused(text) = class(Code::UnknownTopicOrPartition, true) else {
            panic!("an unknown topic is refused");
        };
        assert!(text.contains("sales-topic") && text.contains("kafka:9092"), "{text}");
    }

    #[test]
    fn only_temporary_errors_are_retriable() {
        for (code, retriable) in [
            (Code::QueueFull, true),
            (Code::NotEnoughReplicas, true),
            (Code::MessageTimedOut, true),
            (Code::MessageSizeTooLarge, false),
            (Code::TopicAuthorizationFailed, false),
            (Code::OutOfOrderSequenceNumber, true),
            (Code::Fatal, true),
        ] {
            assert_eq!(class(code, true).is_retriable(), retriable, "{code:?}");
        }
    }
}
