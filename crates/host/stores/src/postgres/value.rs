//! Converts values between the interface and PostgreSQL.

mod interval;
mod null;
mod range;
mod time;

use std::error::Error as StdError;

use rust_decimal::Decimal;
use serde_json::value::RawValue;
use tokio_postgres::types::{FromSql, Json, ToSql, Type};
use tokio_postgres::{Column as PgColumn, Row as PgRow};
use uuid::Uuid;

use super::bindings::v4::{Column, DbDataType, DbValue, Error, Interval, ParameterValue, Row};
use null::{Null, Other};
use range::Range;
use time::{UtcDateTime, date, date_parts, time, time_parts};

type Parameter = Box<dyn ToSql + Send + Sync>;

/// The parameters of a statement.
pub(super) fn to_sql(values: Vec<ParameterValue>) -> Result<Vec<Parameter>, Error> {
    let converted = values.into_iter().enumerate().map(|(index, value)| {
        parameter(value)
            .map_err(|error| Error::BadParameter(format!("parameter ${}: {error}", index + 1)))
    });
    converted.collect()
}

fn parameter(value: ParameterValue) -> Result<Parameter, Box<dyn StdError + Send + Sync>> {
    type Value = ParameterValue;
    Ok(match value {
        Value::Boolean(v) => Box::new(v),
        Value::Int8(v) => Box::new(v),
        Value::Int16(v) => Box::new(v),
        Value::Int32(v) => Box::new(v),
        Value::Int64(v) => Box::new(v),
        Value::Floating32(v) => Box::new(v),
        Value::Floating64(v) => Box::new(v),
        Value::Str(v) => Box::new(v),
        Value::Binary(v) => Box::new(v),
        Value::Date(v) => Box::new(date(v)?),
        Value::Time(v) => Box::new(time(v)?),
        Value::Datetime(v) => Box::new(UtcDateTime::from_parts(v)?),
        Value::Timestamp(v) => Box::new(jiff::Timestamp::from_second(v)?),
        Value::Uuid(v) => Box::new(Uuid::parse_str(&v)?),
        Value::Jsonb(v) => Box::new(Json(serde_json::from_slice::<Box<RawValue>>(&v)?)),
        Value::Decimal(v) => Box::new(Decimal::from_str_exact(&v)?),
        Value::RangeInt32((lower, upper)) => Box::new(Range { lower, upper }),
        Value::RangeInt64((lower, upper)) => Box::new(Range { lower, upper }),
        Value::RangeDecimal((lower, upper)) => {
            let bound = |bound: Option<(String, _)>| {
                bound.map(|(v, kind)| Ok((Decimal::from_str_exact(&v)?, kind))).transpose()
            };
            let (lower, upper) = (bound(lower), bound(upper));
            Box::new(Range { lower: lower.map_err(decimal)?, upper: upper.map_err(decimal)? })
        }
        Value::ArrayInt32(v) => Box::new(v),
        Value::ArrayInt64(v) => Box::new(v),
        Value::ArrayDecimal(v) => {
            let decimals = v.iter().map(|v| v.as_deref().map(Decimal::from_str_exact).transpose());
            Box::new(decimals.collect::<Result<Vec<_>, _>>()?)
        }
        Value::ArrayStr(v) => Box::new(v),
        Value::Interval(v) => Box::new(v),
        Value::DbNull => Box::new(Null),
    })
}

fn decimal(error: rust_decimal::Error) -> Box<dyn StdError + Send + Sync> {
    Box::new(error)
}

/// A column and its type.
pub(super) fn column(column: &PgColumn) -> Column {
    let data_type = match *column.type_() {
        Type::BOOL => DbDataType::Boolean,
        Type::BYTEA => DbDataType::Binary,
        Type::FLOAT4 => DbDataType::Floating32,
        Type::FLOAT8 => DbDataType::Floating64,
        Type::INT2 => DbDataType::Int16,
        Type::INT4 => DbDataType::Int32,
        Type::INT8 => DbDataType::Int64,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => DbDataType::Str,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DbDataType::Datetime,
        Type::DATE => DbDataType::Date,
        Type::TIME => DbDataType::Time,
        Type::UUID => DbDataType::Uuid,
        Type::JSONB => DbDataType::Jsonb,
        Type::NUMERIC => DbDataType::Decimal,
        Type::INT4_RANGE => DbDataType::RangeInt32,
        Type::INT8_RANGE => DbDataType::RangeInt64,
        Type::NUM_RANGE => DbDataType::RangeDecimal,
        Type::INT4_ARRAY => DbDataType::ArrayInt32,
        Type::INT8_ARRAY => DbDataType::ArrayInt64,
        Type::NUMERIC_ARRAY => DbDataType::ArrayDecimal,
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => DbDataType::ArrayStr,
        Type::INTERVAL => DbDataType::Interval,
        ref other => DbDataType::Other(other.name().to_owned()),
    };
    Column { name: column.name().to_owned(), data_type }
}

/// The values of a row.
pub(super) fn row(row: &PgRow) -> Result<Row, Error> {
    let mut values = Vec::with_capacity(row.len());
    for index in 0..row.len() {
        values.push(value(row, index)?);
    }
    Ok(values)
}

fn value(row: &PgRow, index: usize) -> Result<DbValue, Error> {
    let Some(column) = row.columns().get(index) else { return Ok(DbValue::DbNull) };
    let converted = match *column.type_() {
        Type::BOOL => get(row, index, DbValue::Boolean),
        Type::BYTEA => get(row, index, DbValue::Binary),
        Type::FLOAT4 => get(row, index, DbValue::Floating32),
        Type::FLOAT8 => get(row, index, DbValue::Floating64),
        Type::INT2 => get(row, index, DbValue::Int16),
        Type::INT4 => get(row, index, DbValue::Int32),
        Type::INT8 => get(row, index, DbValue::Int64),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR => get(row, index, DbValue::Str),
        Type::TIMESTAMP | Type::TIMESTAMPTZ => {
            get(row, index, |value: UtcDateTime| DbValue::Datetime(value.parts()))
        }
        Type::DATE => get(row, index, |value| DbValue::Date(date_parts(value))),
        Type::TIME => get(row, index, |value| DbValue::Time(time_parts(value))),
        Type::UUID => get(row, index, |value: Uuid| DbValue::Uuid(value.to_string())),
        Type::JSONB => {
            get(row, index, |Json(value): Json<&RawValue>| DbValue::Jsonb(value.get().into()))
        }
        Type::NUMERIC => get(row, index, |value: Decimal| DbValue::Decimal(value.to_string())),
        Type::INT4_RANGE => {
            get(row, index, |range: Range<i32>| DbValue::RangeInt32((range.lower, range.upper)))
        }
        Type::INT8_RANGE => {
            get(row, index, |range: Range<i64>| DbValue::RangeInt64((range.lower, range.upper)))
        }
        Type::NUM_RANGE => get(row, index, |range: Range<Decimal>| {
            let text = |(value, kind): (Decimal, _)| (value.to_string(), kind);
            DbValue::RangeDecimal((range.lower.map(text), range.upper.map(text)))
        }),
        Type::INT4_ARRAY => get(row, index, DbValue::ArrayInt32),
        Type::INT8_ARRAY => get(row, index, DbValue::ArrayInt64),
        Type::NUMERIC_ARRAY => get(row, index, |values: Vec<Option<Decimal>>| {
            let text = |value: Option<Decimal>| value.map(|value| value.to_string());
            DbValue::ArrayDecimal(values.into_iter().map(text).collect())
        }),
        Type::TEXT_ARRAY | Type::VARCHAR_ARRAY | Type::BPCHAR_ARRAY => {
            get(row, index, DbValue::ArrayStr)
        }
        Type::INTERVAL => get(row, index, |value: Interval| DbValue::Interval(value)),
        _ => get(row, index, |Other(bytes)| DbValue::Unsupported(bytes)),
    };
    converted.map_err(|error| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Error::ValueConversionFailed(format!("column \"{}\": {error}{cause}", column.name()))
    })
}

fn get<'a, T: FromSql<'a>>(
    row: &'a PgRow,
    index: usize,
    convert: impl FnOnce(T) -> DbValue,
) -> Result<DbValue, tokio_postgres::Error> {
    Ok(row.try_get::<_, Option<T>>(index)?.map_or(DbValue::DbNull, convert))
}
