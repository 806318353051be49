//! The topics to read: names and patterns.

use regex::Regex;

use crate::Error;
use crate::config::check;

/// What is added to a topic's name for its dead letters.
pub(crate) const DEAD_LETTER_SUFFIX: &str = ".dead-letter";

/// Whether the name is a regular expression, as librdkafka sees it.
pub fn is_pattern(topic: &str) -> bool {
    topic.starts_with('^')
}

/// Refuses what cannot be read, and dead letters that would come back as records.
pub(crate) fn check_all(topics: &[String], dead_letter_topic: &str) -> Result<(), Error> {
    check("topics", !topics.is_empty(), "give at least one topic")?;
    check("topics", topics.iter().all(|topic| !topic.is_empty()), "give names that are not empty")?;
    let refused = |reason| Error::Config { setting: "dead_letter_topic".into(), reason };
    for topic in topics {
        let again = if is_pattern(topic) {
            let pattern = Regex::new(topic).map_err(|error| Error::Config {
                setting: "topics".into(),
                reason: format!("`{topic}` is no regular expression: {error}"),
            })?;
            if dead_letter_topic.is_empty() {
                return Err(refused(format!("name one that the pattern `{topic}` does not match")));
            }
            pattern.is_match(dead_letter_topic)
        } else {
            topic == dead_letter_topic
        };
        if again {
            return Err(refused(format!(
                "`{topic}` reads it, too: dead letters would come back for ever"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(topics: &[&str], dead_letter_topic: &str) -> String {
        let topics: Vec<String> = topics.iter().map(|topic| topic.to_string()).collect();
        check_all(&topics, dead_letter_topic).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn dead_letters_never_come_back_as_records() {
        assert_eq!(refused(&["sales", "returns"], ""), "");
        assert_eq!(refused(&["^sales-.*"], "letters"), "");
        assert!(refused(&["^sales-.*"], "").contains("name one"));
        assert!(refused(&["^sales-.*"], "sales-dead").contains("for ever"));
        assert!(refused(&["sales"], "sales").contains("for ever"));
    }

    #[test]
    fn topics_are_named_or_matched() {
        assert!(refused(&[], "").contains("at least one"));
        assert!(refused(&[""], "").contains("not empty"));
        assert!(refused(&["^("], "letters").contains("no regular expression"));
    }
}
