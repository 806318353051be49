//! The meaning of an error code in a produce response.

use kafka_protocol::error::ResponseError as Code;

/// The result of sending a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
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
    /// The broker failed in a way after which it is unknown whether the batch was written.
    Other,
}

impl Outcome {
    /// The outcome for the error code of a response.
    pub fn from_code(code: i16) -> Self {
        let Some(error) = Code::try_from_code(code) else { return Outcome::Written };
        match error {
            Code::DuplicateSequenceNumber => Outcome::Written,
            Code::OutOfOrderSequenceNumber
            | Code::UnknownProducerId
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::ProducerFenced => Outcome::OutOfSequence,
            Code::MessageTooLarge | Code::RecordListTooLarge => Outcome::TooLarge,
            Code::InvalidRecord | Code::InvalidTimestamp => Outcome::BadRecord,
            error if is_refusal(error) => Outcome::Refused,
            error if error.is_retriable() => Outcome::Retry,
            _ => Outcome::Other,
        }
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
pub fn error_text(code: i16) -> String {
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
    fn codes_are_shown_as_words() {
        assert_eq!(error_text(19), "not enough replicas");
        assert_eq!(error_text(9_999), "error 9999");
    }

    #[test]
    fn codes_are_mapped_to_outcomes() {
        for (code, expected) in [
            (0, Outcome::Written),
            (46, Outcome::Written),
            (-1, Outcome::Other),
            (3, Outcome::Retry),
            (5, Outcome::Retry),
            (6, Outcome::Retry),
            (7, Outcome::Retry),
            (10, Outcome::TooLarge),
            (17, Outcome::Refused),
            (19, Outcome::Retry),
            (20, Outcome::Retry),
            (29, Outcome::Refused),
            (45, Outcome::OutOfSequence),
            (47, Outcome::OutOfSequence),
            (56, Outcome::Retry),
            (59, Outcome::OutOfSequence),
            (87, Outcome::BadRecord),
            (9_999, Outcome::Other),
        ] {
            assert_eq!(Outcome::from_code(code), expected, "{code}");
        }
    }
}
