//! `interval`: microseconds, days and months.

use std::error::Error;

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

use crate::postgres::bindings::v4::Interval;

impl ToSql for Interval {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        out.put_i64(self.micros);
        out.put_i32(self.days);
        out.put_i32(self.months);
        Ok(IsNull::No)
    }

    accepts!(INTERVAL);
    to_sql_checked!();
}

impl FromSql<'_> for Interval {
    fn from_sql(_: &Type, mut raw: &[u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let interval = Self {
            micros: raw.try_get_i64()?,
            days: raw.try_get_i32()?,
            months: raw.try_get_i32()?,
        };
        if raw.is_empty() { Ok(interval) } else { Err("an interval of another length".into()) }
    }

    accepts!(INTERVAL);
}
