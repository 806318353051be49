//! Ranges of numbers. An empty range has no bounds in the interface, as in Spin.

use std::error::Error;

use bytes::BytesMut;
use postgres_protocol::IsNull as BoundIsNull;
use postgres_protocol::types::{RangeBound, range_from_sql, range_to_sql};
use rust_decimal::Decimal;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};

use crate::postgres::bindings::v4::RangeBoundKind;

type AnyError = Box<dyn Error + Sync + Send>;

/// The bounds of a range; a missing one is infinite.
#[derive(Debug)]
pub(super) struct Range<T> {
    pub lower: Option<(T, RangeBoundKind)>,
    pub upper: Option<(T, RangeBoundKind)>,
}

/// A type of which there are ranges.
pub(super) trait Element {
    /// The type of the ranges.
    const RANGE: Type;
    /// The type of the bounds.
    const BOUND: Type;
}

impl Element for i32 {
    const RANGE: Type = Type::INT4_RANGE;
    const BOUND: Type = Type::INT4;
}

impl Element for i64 {
    const RANGE: Type = Type::INT8_RANGE;
    const BOUND: Type = Type::INT8;
}

impl Element for Decimal {
    const RANGE: Type = Type::NUM_RANGE;
    const BOUND: Type = Type::NUMERIC;
}

impl<T: Element + ToSql> ToSql for Range<T> {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, AnyError> {
        let bound = |bound: &Option<(T, RangeBoundKind)>, out: &mut BytesMut| {
            let Some((value, kind)) = bound else { return Ok(RangeBound::Unbounded) };
            value.to_sql(&T::BOUND, out)?;
            Ok(match kind {
                RangeBoundKind::Inclusive => RangeBound::Inclusive(BoundIsNull::No),
                RangeBoundKind::Exclusive => RangeBound::Exclusive(BoundIsNull::No),
            })
        };
        range_to_sql(|out| bound(&self.lower, out), |out| bound(&self.upper, out), out)?;
        Ok(IsNull::No)
    }

    fn accepts(wanted: &Type) -> bool {
        *wanted == T::RANGE
    }

    to_sql_checked!();
}

impl<'a, T: Element + FromSql<'a>> FromSql<'a> for Range<T> {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, AnyError> {
        let bound = |bound| {
            let (raw, kind) = match bound {
                RangeBound::Inclusive(Some(raw)) => (raw, RangeBoundKind::Inclusive),
                RangeBound::Exclusive(Some(raw)) => (raw, RangeBoundKind::Exclusive),
                _ => return Ok::<_, AnyError>(None),
            };
            Ok(Some((T::from_sql(&T::BOUND, raw)?, kind)))
        };
        Ok(match range_from_sql(raw)? {
            postgres_protocol::types::Range::Empty => Self { lower: None, upper: None },
            postgres_protocol::types::Range::Nonempty(lower, upper) => {
                Self { lower: bound(lower)?, upper: bound(upper)? }
            }
        })
    }

    fn accepts(wanted: &Type) -> bool {
        *wanted == T::RANGE
    }
}
