//! Interprets the errors of a broker that does not accept a record.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Whether the record is larger than the topic allows. A retry of the same record would fail in the
/// same way.
pub(crate) fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::MessageSizeTooLarge | Code::InvalidMessageSize | Code::MessageBatchTooLarge)
    )
}

/// Whether the broker is reachable but refuses this topic or this record. Records of other topics
/// may still be accepted.
pub(crate) fn is_refusal(error: &KafkaError) -> bool {
    is_record_refused(error)
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::InvalidTopic
                    | Code::TopicAuthorizationFailed
                    | Code::UnknownTopic
                    | Code::UnknownTopicOrPartition
            )
        )
}

/// Whether the broker refuses this record because of what it contains. Another record may be
/// accepted by the same topic.
pub(crate) fn is_record_refused(error: &KafkaError) -> bool {
    is_too_large(error)
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::InvalidRecord
                    | Code::InvalidTimestamp
                    | Code::PolicyViolation
                    | Code::UnknownPartition
            )
        )
}

/// What an operator can do so that the topic accepts records again.
pub(crate) fn advice(error: &KafkaError) -> &'static str {
    match error.rdkafka_error_code() {
        Some(Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) => {
            "create the topic, or grant this client Describe on it"
        }
        Some(Code::TopicAuthorizationFailed) => "grant this client Write and Describe on the topic",
        Some(Code::ClusterAuthorizationFailed) => {
            "grant this client IdempotentWrite on the cluster, or Write on the topic"
        }
        Some(Code::Authentication | Code::SaslAuthenticationFailed) => {
            "check the credentials in `client`"
        }
        Some(_) if is_too_large(error) => "raise the topic's max.message.bytes",
        Some(Code::InvalidRecord) => {
            "set the topic's cleanup.policy to delete: a compacted topic accepts only records with a \
             key"
        }
        Some(Code::InvalidTimestamp) => {
            "check this host's clock, and the topic's message.timestamp.before.max.ms and \
             message.timestamp.after.max.ms"
        }
        Some(Code::PolicyViolation) => {
            "a policy of the broker rejects the record: ask the administrator of the brokers"
        }
        Some(Code::InvalidTopic) => "give the topic a name that Kafka allows",
        Some(Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend) => {
            "restore the topic's replicas, or lower its min.insync.replicas"
        }
        _ => "check that the brokers can be reached and that the topic has a leader",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_own_advice() {
        let advice = |code| advice(&KafkaError::MessageProduction(code));
        for (code, word) in [
            (Code::UnknownTopicOrPartition, "create"),
            (Code::UnknownTopic, "create"),
            (Code::TopicAuthorizationFailed, "Write and Describe"),
            (Code::ClusterAuthorizationFailed, "IdempotentWrite"),
            (Code::MessageSizeTooLarge, "max.message.bytes"),
            (Code::InvalidRecord, "cleanup.policy"),
            (Code::InvalidTimestamp, "clock"),
            (Code::NotEnoughReplicas, "min.insync.replicas"),
            (Code::MessageTimedOut, "reached"),
        ] {
            assert!(advice(code).contains(word), "{code:?}: {}", advice(code));
        }
    }

    #[test]
    fn an_unreachable_broker_is_not_a_refusal() {
        let refuses = |code| is_refusal(&KafkaError::MessageProduction(code));
        for code in [Code::MessageTimedOut, Code::AllBrokersDown, Code::NotEnoughReplicas] {
            assert!(!refuses(code), "{code:?}");
        }
        for code in [Code::MessageSizeTooLarge, Code::UnknownTopic, Code::InvalidRecord] {
            assert!(refuses(code), "{code:?}");
        }
    }
}
