//! Formats a duration as words.

use std::time::Duration;

const UNITS: [(&str, u64); 4] =
    [("day", 24 * 60 * 60), ("hour", 60 * 60), ("minute", 60), ("second", 1)];

/// The two largest units of the duration, for example `6 days 12 hours`.
pub(crate) fn in_words(span: Duration) -> String {
    let mut rest = span.as_secs();
    let mut words = Vec::new();
    for (unit, seconds) in UNITS {
        let count = rest / seconds;
        rest %= seconds;
        match count {
            0 => {}
            1 => words.push(format!("1 {unit}")),
            count => words.push(format!("{count} {unit}s")),
        }
    }
    words.truncate(2);
    if words.is_empty() { "less than a second".into() } else { words.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_two_largest_units_are_shown() {
        for (seconds, words) in [
            (0, "less than a second"),
            (1, "1 second"),
            (3_600, "1 hour"),
            (604_800, "7 days"),
            (604_799, "6 days 23 hours"),
            (86_460, "1 day 1 minute"),
        ] {
            assert_eq!(in_words(Duration::from_secs(seconds)), words);
        }
    }
}
