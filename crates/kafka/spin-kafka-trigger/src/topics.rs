//! The topics to read: names and patterns.

use crate::Error;
use crate::pattern::{self, is_name_char, is_pattern};

/// The suffix that makes a topic's name the name of its dead-letter topic.
pub(crate) const DEAD_LETTER_SUFFIX: &str = ".dead-letter";
/// The longest name that Kafka accepts.
const NAME_BYTES_MAX: usize = 249;

/// Whether Kafka accepts the text as a topic's name.
pub(crate) fn is_topic_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name.chars().all(is_name_char)
        && !matches!(name, "." | "..")
}

/// The topics in the form in which librdkafka subscribes to them.
pub(crate) fn subscription(topics: &[String]) -> Vec<String> {
    let all = topics.iter();
    all.map(|topic| if is_pattern(topic) { pattern::normalized(topic) } else { topic.clone() })
        .collect()
}

/// Rejects topics that cannot be read, and settings with which dead letters could not be written or
/// would be read as records.
pub(crate) fn check_all(topics: &[String], dead_letter_topic: &str) -> Result<(), Error> {
    Error::check("topics", !topics.is_empty(), "give at least one topic")?;
    Error::check(
        "topics",
        topics.iter().all(|topic| !topic.is_empty()),
        "give names that are not empty",
    )?;
    if !dead_letter_topic.is_empty() && !is_topic_name(dead_letter_topic) {
        return Err(Error::setting("dead_letter_topic", not_a_name(dead_letter_topic)));
    }
    for topic in topics {
        let is_read = if is_pattern(topic) {
            let pattern = pattern::compile(topic).map_err(|reason| {
                Error::setting(
                    "topics",
                    format!("`{topic}` cannot be a pattern of topics: {reason}"),
                )
            })?;
            if dead_letter_topic.is_empty() {
                let reason = format!("name one that the pattern `{topic}` does not match");
                return Err(Error::setting("dead_letter_topic", reason));
            }
            pattern.is_match(dead_letter_topic)
        } else {
            check_name(topic, dead_letter_topic)?;
            topic == dead_letter_topic
        };
        if is_read {
            let reason =
                format!("`{topic}` includes it: dead letters would be read again as records");
            return Err(Error::setting("dead_letter_topic", reason));
        }
    }
    Ok(())
}

/// Rejects topics that cannot be written, and those that are read: their records would be handed
/// over again without an end.
pub(crate) fn check_output(output: &[String], topics: &[String]) -> Result<(), Error> {
    for name in output {
        if !is_topic_name(name) {
            return Err(Error::setting("output_topics", not_a_name(name)));
        }
        let reads = |topic: &&String| match is_pattern(topic) {
            true => pattern::compile(topic).is_ok_and(|pattern| pattern.is_match(name)),
            false => *topic == name,
        };
        if let Some(topic) = topics.iter().find(reads) {
            let reason = format!("`{topic}` includes `{name}`: its records would be read again");
            return Err(Error::setting("output_topics", reason));
        }
    }
    Ok(())
}

/// Checks a topic's name. If the suffix makes it the name of the dead-letter topic, the result must
/// not be too long.
fn check_name(topic: &str, dead_letter_topic: &str) -> Result<(), Error> {
    if !is_topic_name(topic) {
        return Err(Error::setting("topics", not_a_name(topic)));
    }
    let letters = format!("{topic}{DEAD_LETTER_SUFFIX}");
    if dead_letter_topic.is_empty() && !is_topic_name(&letters) {
        let reason = format!("the name `{letters}` would be too long: give another");
        return Err(Error::setting("dead_letter_topic", reason));
    }
    Ok(())
}

fn not_a_name(name: &str) -> String {
    format!(
        "`{name}` is not a valid topic name: 1 to {NAME_BYTES_MAX} letters, digits, dots, dashes \
         and underscores"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(topics: &[&str], dead_letter_topic: &str) -> String {
        let topics: Vec<String> = topics.iter().map(|topic| topic.to_string()).collect();
        check_all(&topics, dead_letter_topic).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn dead_letters_are_never_read_as_records() {
        assert_eq!(refused(&["sales", "returns"], ""), "");
        assert_eq!(refused(&["^sales-.*"], "letters"), "");
        assert!(refused(&["^sales-.*"], "").contains("name one"));
        assert!(refused(&["^sales-.*"], "sales-dead").contains("read again"));
        assert!(
            refused(&["^sales"], "sales-dead").contains("read again"),
            "a pattern matches the beginning of a name"
        );
        assert!(refused(&["sales"], "sales").contains("read again"));
    }

    #[test]
    fn topics_are_named_or_matched() {
        assert!(refused(&[], "").contains("at least one"));
        assert!(refused(&[""], "").contains("not empty"));
        for pattern in ["^(", r"^rx-\d+$", "^(?:a|b)$"] {
            let refused = refused(&["sales", pattern], "letters");
            assert!(refused.contains(&format!("`{pattern}`")), "{refused}");
        }
    }

    #[test]
    fn names_are_checked_as_kafka_checks_them() {
        for name in ["a b", "a/b", ".", "..", "ventas-ñ", "sales*", &"x".repeat(250)] {
            assert!(refused(&[name], "letters").contains("not a valid topic name"), "{name}");
            assert!(refused(&["sales"], name).contains("not a valid topic name"), "{name}");
        }
        let long = "x".repeat(240);
        assert_eq!(refused(&[&long], "letters"), "");
        assert!(refused(&[&long], "").contains("too long"));
    }

    #[test]
    fn patterns_are_passed_on_as_they_are_checked() {
        let topics = ["sales".to_owned(), "^a|b".to_owned()];
        assert_eq!(subscription(&topics), ["sales", "^(a|b).*"]);
    }
}
