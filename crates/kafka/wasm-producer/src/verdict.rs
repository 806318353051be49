//! The meaning of an error code in a produce response.

use kafka_protocol::error::ResponseError as Code;

/// The result of sending a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The batch was written, by this attempt or an earlier one.
    Written,
    /// The batch may be written later, perhaps by another broker. It may also have been written: a
    /// leader that loses its role reports this only after it has appended the batch.
    Retry,
    /// This attempt was not written, because the broker expected another sequence number. The
    /// broker has lost its state of this producer, or an earlier batch.
    OutOfSequence,
    /// Not written: the batch is larger than the topic allows. Its records may be small enough
    /// alone.
    TooLarge,
    /// Not written because of some of its records.
    BadRecord,
    /// Not written: the broker denies access for this client or to this topic.
    Refused,
    /// The broker failed in a way that does not tell whether the batch was written.
    Other,
}

/// Maps the error code of a response.
pub fn verdict(code: i16) -> Verdict {
    let Some(error) = Code::try_from_code(code) else { return Verdict::Written };
    match error {
        Code::DuplicateSequenceNumber => Verdict::Written,
        Code::OutOfOrderSequenceNumber
        | Code::UnknownProducerId
        | Code::InvalidProducerEpoch
        | Code::InvalidProducerIdMapping
        | Code::ProducerFenced => Verdict::OutOfSequence,
        Code::MessageTooLarge | Code::RecordListTooLarge => Verdict::TooLarge,
        Code::InvalidRecord | Code::InvalidTimestamp => Verdict::BadRecord,
        error if is_refusal(error) => Verdict::Refused,
        error if error.is_retriable() => Verdict::Retry,
        _ => Verdict::Other,
    }
}

/// Whether the code means that this client has no permission.
pub fn is_refusal(error: Code) -> bool {
    matches!(
        error,
        Code::ClusterAuthorizationFailed
            | Code::IllegalSaslState
            | Code::InvalidTopicException
            | Code::PolicyViolation
            | Code::SaslAuthenticationFailed
            | Code::TopicAuthorizationFailed
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedSaslMechanism
    )
}

/// The error code as a text.
pub fn words(code: i16) -> String {
    match Code::try_from_code(code) {
        None => "no error".into(),
        Some(Code::Unknown(code)) => format!("error {code}"),
        Some(error) => in_words(&error.to_string()),
    }
}

/// Converts `NotEnoughReplicas` to `not enough replicas`.
fn in_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 8);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_in_words() {
        assert_eq!(words(19), "not enough replicas");
        assert_eq!(words(9_999), "error 9999");
    }

    #[test]
    fn classes() {
        for (code, expected) in [
            (0, Verdict::Written),
            (46, Verdict::Written),
            (-1, Verdict::Other),
            (3, Verdict::Retry),
            (5, Verdict::Retry),
            (6, Verdict::Retry),
            (7, Verdict::Retry),
            (10, Verdict::TooLarge),
            (17, Verdict::Refused),
            (19, Verdict::Retry),
            (20, Verdict::Retry),
            (29, Verdict::Refused),
            (45, Verdict::OutOfSequence),
            (47, Verdict::OutOfSequence),
            (56, Verdict::Retry),
            (59, Verdict::OutOfSequence),
            (87, Verdict::BadRecord),
            (9_999, Verdict::Other),
        ] {
            assert_eq!(verdict(code), expected, "{code}");
        }
    }
}
