//! What a broker's answer means for a batch.

use kafka_protocol::error::ResponseError as Code;

/// What became of a batch that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It lies in the log, now or from an earlier attempt.
    Written,
    /// It may be written later, maybe by another broker. It may have been written, too: a
    /// leader that loses its place says so only after it has appended.
    Retry,
    /// This attempt was not written: the broker expected another sequence. It has lost what it
    /// knew of this producer, or an earlier batch.
    OutOfSequence,
    /// Not written: larger than the topic allows. Its records may be small enough alone.
    TooLarge,
    /// Not written for the sake of some of its records.
    BadRecord,
    /// Not written: the broker refuses this client or this topic.
    Refused,
    /// The broker failed in a way that says nothing of the log.
    Other,
}

/// The verdict of a response's error code.
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

/// Whether a broker says with it that this client may not do what it wants.
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

/// What an error code says, in words.
pub fn words(code: i16) -> String {
    match Code::try_from_code(code) {
        None => "no error".into(),
        Some(Code::Unknown(code)) => format!("error {code}"),
        Some(error) => in_words(&error.to_string()),
    }
}

/// `NotEnoughReplicas` as `not enough replicas`.
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
