//! Dates without a time.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// A date of the years 1900 to 2099, in JSON `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    year: i16,
    month: u8,
    day: u8,
}

impl Date {
    /// This date; `None` if there is no such day, or if it is too early or too late.
    pub fn new(year: i32, month: u8, day: u8) -> Option<Self> {
        let year = i16::try_from(year).ok().filter(|year| (1900..2100).contains(year))?;
        let (signed_month, signed_day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        jiff::civil::Date::new(year, signed_month, signed_day).ok()?;
        Some(Self { year, month, day })
    }

    /// `YYYY-MM-DD` in ASCII. A page has many dates, and the macros for formatting are slow.
    fn text(self) -> [u8; 10] {
        let digit = |number: i16, unit: i16| b'0' + (number / unit % 10) as u8;
        let Self { year, month, day } = self;
        let (month, day) = (month.into(), day.into());
        [
            digit(year, 1_000),
            digit(year, 100),
            digit(year, 10),
            digit(year, 1),
            b'-',
            digit(month, 10),
            digit(month, 1),
            b'-',
            digit(day, 10),
            digit(day, 1),
        ]
    }

    /// Year, month and day.
    pub fn parts(self) -> (i32, u8, u8) {
        (self.year.into(), self.month, self.day)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl FromStr for Date {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str, digits: usize| {
            let valid = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
            valid.then(|| text.parse::<u16>().ok()).flatten()
        };
        let parsed = || {
            let (year, rest) = text.split_once('-')?;
            let (month, day) = rest.split_once('-')?;
            let short = |text| u8::try_from(number(text, 2)?).ok();
            Self::new(number(year, 4)?.into(), short(month)?, short(day)?)
        };
        parsed().ok_or("must be a date from 1900-01-01 to 2099-12-31, as YYYY-MM-DD")
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_dates_that_exist_are_read() {
        for text in ["1900-01-01", "2024-02-29", "2099-12-31"] {
            let date: Date = text.parse().unwrap();
            assert_eq!(date.to_string(), text);
            let (year, month, day) = date.parts();
            assert_eq!(Date::new(year, month, day), Some(date));
        }
        for text in [
            "",
            "2023-02-29",
            "1899-12-31",
            "2100-01-01",
            "2024-13-01",
            "2024-00-10",
            "2024-1-01",
            "2024-01-1",
            "20240101",
            "+024-01-01",
            "2024-01-01T00:00",
            " 2024-01-01",
            "2024-01-+1",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
