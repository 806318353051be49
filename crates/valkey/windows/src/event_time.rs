//! The event time of a record.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::duration::Seconds;
use crate::limits::TIME_LIMIT_MS;
use crate::selector::{Event, Selected, Selector};
use crate::{Record, RecordError};

/// Where the event time is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventTime {
    /// The timestamp of the record.
    #[default]
    Timestamp,
    /// A JSON pointer (RFC 6901) into the value.
    Pointer(String),
    /// The value of the first header with this name.
    Header(String),
}

/// The unit of times that are numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TimeUnit {
    /// Milliseconds since 1970.
    #[default]
    Ms,
    /// Seconds since 1970.
    S,
}

const EXPECTED: &str = "a time: a text as in RFC 3339, or a number of the unit `time_unit` since \
                        1970, before the year 10000";

impl EventTime {
    pub fn selector(&self) -> Option<Selector> {
        match self {
            Self::Timestamp => None,
            Self::Pointer(pointer) => Some(Selector::Pointer(pointer.clone())),
            Self::Header(name) => Some(Selector::Header(name.clone())),
        }
    }
}

/// Returns the event time in milliseconds since 1970. A time in the record may be after the record's
/// timestamp by at most `ahead_max`.
pub(crate) fn event_time<R: Record>(
    selector: Option<&Selector>,
    unit: TimeUnit,
    ahead_max: Seconds,
    event: &Event<'_, R>,
) -> Result<i64, RecordError> {
    let timestamp = event.record.timestamp_ms();
    let Some(selector) = selector else {
        let time = timestamp.ok_or_else(|| RecordError::Missing("timestamp".into()))?;
        let form = || RecordError::Form { place: "the timestamp".into(), expected: EXPECTED };
        return within(time).ok_or_else(form);
    };
    let time = match selector.select(event)? {
        Selected::Json(Value::String(text)) => parse(text, unit),
        Selected::Json(Value::Number(number)) => match number.as_i64() {
            Some(integer) => scaled(integer, unit),
            None => parse_fraction(number.as_f64(), unit),
        },
        Selected::Json(_) => None,
        Selected::Bytes(bytes) => str::from_utf8(bytes).ok().and_then(|text| parse(text, unit)),
    };
    let time = time.and_then(within).ok_or_else(|| selector.form(EXPECTED))?;
    match timestamp {
        Some(timestamp) if time.saturating_sub(timestamp) > ahead_max.ms() => {
            Err(RecordError::Ahead)
        }
        _ => Ok(time),
    }
}

fn within(time: i64) -> Option<i64> {
    (0..TIME_LIMIT_MS).contains(&time).then_some(time)
}

fn scaled(number: i64, unit: TimeUnit) -> Option<i64> {
    match unit {
        TimeUnit::Ms => Some(number),
        TimeUnit::S => number.checked_mul(1_000),
    }
}

/// A number of seconds with a fraction. A fraction of a millisecond is cut off.
fn parse_fraction(number: Option<f64>, unit: TimeUnit) -> Option<i64> {
    let ms = match unit {
        TimeUnit::Ms => number?,
        TimeUnit::S => number? * 1_000.0,
    };
    (0.0..TIME_LIMIT_MS as f64).contains(&ms).then_some(ms as i64)
}

fn parse(text: &str, unit: TimeUnit) -> Option<i64> {
    if let Ok(number) = text.parse() {
        return scaled(number, unit);
    }
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TestRecord;

    fn of(
        selector: Option<Selector>,
        unit: TimeUnit,
        record: &TestRecord,
    ) -> Result<i64, RecordError> {
        let event = Event::new(record, selector.as_ref().is_some_and(Selector::is_pointer))?;
        event_time(selector.as_ref(), unit, Seconds::DAY, &event)
    }

    #[test]
    fn times_are_texts_or_numbers() {
        for (unit, value, expected) in [
            (TimeUnit::Ms, "\"1970-01-01T00:00:01.5Z\"", 1_500),
            (TimeUnit::S, "\"1970-01-01T02:00:01+02:00\"", 1_000),
            (TimeUnit::Ms, "1500", 1_500),
            (TimeUnit::Ms, "1500.9", 1_500),
            (TimeUnit::Ms, "\"1500\"", 1_500),
            (TimeUnit::S, "1.5", 1_500),
            (TimeUnit::S, "2", 2_000),
        ] {
            let record = TestRecord::default().value(&format!("{{\"at\":{value}}}"));
            let at = Selector::Pointer("/at".into());
            assert_eq!(of(Some(at), unit, &record), Ok(expected), "{value}");
        }
        let record =
            TestRecord { header: Some(("at", "1970-01-01T00:00:02Z")), ..TestRecord::default() };
        let header = Selector::Header("at".into());
        assert_eq!(of(Some(header), TimeUnit::Ms, &record), Ok(2_000));
        let record = TestRecord { timestamp_ms: Some(5), ..TestRecord::default() };
        assert_eq!(of(None, TimeUnit::S, &record), Ok(5));
    }

    #[test]
    fn a_record_without_a_possible_time_is_refused() {
        let at = || Some(Selector::Pointer("/at".into()));
        for value in [
            "\"today\"",
            "\"1970-01-01T00:00:01\"",
            "true",
            "-1",
            "1e300",
            "9223372036854775807",
            "\"9223372036854775807\"",
        ] {
            let record = TestRecord::default().value(&format!("{{\"at\":{value}}}"));
            let error = of(at(), TimeUnit::S, &record).unwrap_err().to_string();
            assert!(error.starts_with("the field `/at` is not a time"), "{error}");
        }
        let null = TestRecord::default().value("{\"at\":null}");
        let error = of(at(), TimeUnit::Ms, &null).unwrap_err();
        assert_eq!(error.to_string(), "the record has no field `/at`");
        let error = of(None, TimeUnit::Ms, &TestRecord::default()).unwrap_err();
        assert_eq!(error.to_string(), "the record has no timestamp");
        let error = of(at(), TimeUnit::Ms, &TestRecord::default().value("{")).unwrap_err();
        assert!(error.to_string().starts_with("the value is not JSON"), "{error}");
    }

    #[test]
    fn a_time_far_after_the_timestamp_is_refused() {
        let day = Seconds::DAY.ms();
        for (time, result) in [(day + 7, Ok(day + 7)), (day + 8, Err(RecordError::Ahead))] {
            let record = TestRecord { timestamp_ms: Some(7), ..TestRecord::default() };
            let record = record.value(&format!("{{\"at\":{time}}}"));
            assert_eq!(of(Some(Selector::Pointer("/at".into())), TimeUnit::Ms, &record), result);
        }
    }
}
