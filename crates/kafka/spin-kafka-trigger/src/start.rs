//! Where to begin in a log without a position.

use std::str::FromStr;

use serde::Deserialize;

use crate::ParseError;

/// Where to begin in a log without a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
#[non_exhaustive]
pub enum Start {
    /// At the oldest record the log holds: `earliest`.
    #[default]
    Earliest,
    /// After the newest record: `latest`.
    Latest,
    /// At the first record whose timestamp is this one or later, in milliseconds since
    /// 1970-01-01 UTC; after the newest record if there is none. Written as an RFC 3339
    /// time: `2026-11-27T00:00:00Z`.
    Timestamp(i64),
}

impl FromStr for Start {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text {
            "earliest" => Ok(Start::Earliest),
            "latest" => Ok(Start::Latest),
            time => match time.parse::<jiff::Timestamp>() {
                Ok(time) => Ok(Start::Timestamp(time.as_millisecond())),
                Err(error) => Err(ParseError(format!(
                    "`{time}` is neither `earliest` nor `latest` nor a time such as \
                     2026-11-27T00:00:00Z ({error})"
                ))),
            },
        }
    }
}

impl TryFrom<String> for Start {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_times_are_read() {
        assert_eq!("earliest".parse(), Ok(Start::Earliest));
        assert_eq!("latest".parse(), Ok(Start::Latest));
        assert_eq!("1970-01-01T00:00:01.5Z".parse(), Ok(Start::Timestamp(1_500)));
        assert_eq!("1970-01-01T01:00:00+01:00".parse(), Ok(Start::Timestamp(0)));
        assert!("yesterday".parse::<Start>().unwrap_err().to_string().contains("earliest"));
    }
}
