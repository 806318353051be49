//! Reads the values of a component's Spin variables. An empty value has the same meaning as a variable that is
//! not declared: the default, if there is one.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::de::DeserializeOwned;

/// Maximum length of a value that is parsed as JSON, in bytes.
const JSON_BYTES_MAX: usize = 64 << 10;

/// A value that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{variable}` {reason}")]
pub struct SettingError {
    /// The name of the variable.
    pub variable: &'static str,
    /// What is wrong with the value, or what it must be. It never contains the value of a secret.
    pub reason: String,
}

impl SettingError {
    /// An error whose message is the name of the variable, followed by `reason`.
    pub fn new(variable: &'static str, reason: impl Into<String>) -> Self {
        Self { variable, reason: reason.into() }
    }
}

/// A whole number in a range. Without a default, the variable must have a value.
pub fn number<T>(
    variable: &'static str,
    text: &str,
    default: Option<T>,
    range: RangeInclusive<T>,
) -> Result<T, SettingError>
where
    T: FromStr + PartialOrd + Display,
{
    let number = if text.is_empty() { default } else { text.parse().ok() };
    number.filter(|number| range.contains(number)).ok_or_else(|| {
        let (min, max) = (range.start(), range.end());
        SettingError::new(variable, format!("must be a whole number from {min} to {max}"))
    })
}

/// A time in milliseconds, from 1.
pub fn milliseconds(
    variable: &'static str,
    text: &str,
    default: Duration,
    max: Duration,
) -> Result<Duration, SettingError> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    number(variable, text, Some(ms(default)), 1..=ms(max)).map(Duration::from_millis)
}

/// `true` or `false`, which is the default.
pub fn truth(variable: &'static str, text: &str) -> Result<bool, SettingError> {
    match text {
        "true" => Ok(true),
        "" | "false" => Ok(false),
        _ => Err(SettingError::new(variable, "must be `true` or `false`")),
    }
}

/// A text with a limit of its length in bytes.
pub fn text<'a>(
    variable: &'static str,
    text: &'a str,
    default: &'a str,
    bytes_max: usize,
) -> Result<&'a str, SettingError> {
    if text.len() > bytes_max {
        return Err(SettingError::new(variable, format!("must be at most {bytes_max} bytes long")));
    }
    Ok(if text.is_empty() { default } else { text })
}

/// Items that are separated by commas or white space.
pub fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c.is_whitespace()).filter(|item| !item.is_empty())
}

/// JSON of at most 64 KiB, in which structs are objects. `None` if there is no value.
pub fn json<T: DeserializeOwned>(
    variable: &'static str,
    text: &str,
) -> Result<Option<T>, SettingError> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    if text.len() > JSON_BYTES_MAX {
        let reason = format!("must be at most {JSON_BYTES_MAX} bytes long");
        return Err(SettingError::new(variable, reason));
    }
    strict_json::from_str(text)
        .map(Some)
        .map_err(|error| SettingError::new(variable, format!("is not valid: {error}")))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use serde::Deserialize;

    use super::*;

    #[test]
    fn a_number_is_in_its_range_and_has_its_default() {
        let read = |text| number("n", text, Some(7), 5..=10);
        assert_eq!((read(""), read("5"), read("10")), (Ok(7), Ok(5), Ok(10)));
        for text in ["4", "11", "1.5", "-1", " 7", "99999999999999999999999"] {
            let error = read(text).unwrap_err().to_string();
            assert_eq!(error, "`n` must be a whole number from 5 to 10", "{text}");
        }
        let positive = NonZeroU64::MIN..=NonZeroU64::MAX;
        assert!(number("n", "", None, positive.clone()).is_err(), "a value is required");
        assert!(number("n", "0", None, positive).is_err());
    }

    #[test]
    fn a_time_is_in_milliseconds() {
        let read =
            |text| milliseconds("t", text, Duration::from_secs(1), Duration::from_secs(2)).ok();
        assert_eq!(read(""), Some(Duration::from_secs(1)));
        assert_eq!(read("2000"), Some(Duration::from_secs(2)));
        assert_eq!((read("0"), read("2001")), (None, None));
    }

    #[test]
    fn texts_and_truth_have_defaults() {
        assert_eq!(text("t", "", "default", 3), Ok("default"));
        assert_eq!(text("t", "abc", "default", 3), Ok("abc"));
        assert!(text("t", "abcd", "default", 3).is_err());
        assert_eq!((truth("t", ""), truth("t", "true")), (Ok(false), Ok(true)));
        assert!(truth("t", "yes").is_err());
        assert_eq!(list(" a,b ,, c\nd").collect::<Vec<_>>(), ["a", "b", "c", "d"]);
    }

    #[test]
    fn json_has_a_limit_and_objects_for_structs() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Route {
            path: String,
        }
        let read = |text: &str| json::<Vec<Route>>("routes", text);
        assert_eq!(read(" "), Ok(None));
        assert_eq!(read(r#"[{"path": "/"}]"#), Ok(Some(vec![Route { path: "/".into() }])));
        for text in [r#"[["/"]]"#, "[", &format!("[{}]", " ".repeat(JSON_BYTES_MAX))] {
            assert!(read(text).unwrap_err().to_string().starts_with("`routes` "));
        }
    }
}
