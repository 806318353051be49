//! Dates and times as tuples.

use std::error::Error;

use bytes::BytesMut;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

type AnyError = Box<dyn Error + Sync + Send>;

type DateParts = (i32, u8, u8);
type TimeParts = (u8, u8, u8, u32);
type DateTimeParts = (i32, u8, u8, u8, u8, u8, u32);

/// A date and a time of `timestamp`, or of `timestamptz` in UTC.
#[derive(Debug)]
pub(super) struct UtcDateTime(DateTime);

impl UtcDateTime {
    pub fn from_parts((y, m, d, h, min, s, ns): DateTimeParts) -> Result<Self, AnyError> {
        Ok(Self(date((y, m, d))?.to_datetime(time((h, min, s, ns))?)))
    }

    pub fn parts(&self) -> DateTimeParts {
        let (y, m, d) = date_parts(self.0.date());
        let (h, min, s, ns) = time_parts(self.0.time());
        (y, m, d, h, min, s, ns)
    }
}

impl ToSql for UtcDateTime {
    fn to_sql(&self, wanted: &Type, out: &mut BytesMut) -> Result<IsNull, AnyError> {
        match *wanted {
            Type::TIMESTAMPTZ => Offset::UTC.to_timestamp(self.0)?.to_sql(wanted, out),
            _ => self.0.to_sql(wanted, out),
        }
    }

    accepts!(TIMESTAMP, TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for UtcDateTime {
    fn from_sql(given: &Type, raw: &'a [u8]) -> Result<Self, AnyError> {
        Ok(Self(match *given {
            Type::TIMESTAMPTZ => Offset::UTC.to_datetime(Timestamp::from_sql(given, raw)?),
            _ => DateTime::from_sql(given, raw)?,
        }))
    }

    accepts!(TIMESTAMP, TIMESTAMPTZ);
}

pub(super) fn date((year, month, day): DateParts) -> Result<Date, AnyError> {
    Ok(Date::new(year.try_into()?, month.try_into()?, day.try_into()?)?)
}

pub(super) fn date_parts(date: Date) -> DateParts {
    (date.year().into(), date.month().unsigned_abs(), date.day().unsigned_abs())
}

pub(super) fn time((hour, minute, second, nanosecond): TimeParts) -> Result<Time, AnyError> {
    let (hour, minute, second) = (hour.try_into()?, minute.try_into()?, second.try_into()?);
    Ok(Time::new(hour, minute, second, nanosecond.try_into()?)?)
}

pub(super) fn time_parts(time: Time) -> TimeParts {
    let [hour, minute, second] = [time.hour(), time.minute(), time.second()].map(i8::unsigned_abs);
    (hour, minute, second, time.subsec_nanosecond().unsigned_abs())
}
