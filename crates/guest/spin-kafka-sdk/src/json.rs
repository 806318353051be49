//! Records whose values are JSON.

use std::ops::Deref;

use serde::Deserialize;

use crate::{Error, FromRecord, Record};

/// The value of a record, parsed as JSON. A record whose value is missing or does not parse is
/// rejected with the reason. `Option<Json<T>>` is `None` for a tombstone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Json<T>(pub T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'a, T: Deserialize<'a>> FromRecord<'a> for Json<T> {
    fn from_record(record: &'a Record) -> Result<Self, Error> {
        record.json().map(Self)
    }
}

impl<'a, T: Deserialize<'a>> FromRecord<'a> for Option<Json<T>> {
    fn from_record(record: &'a Record) -> Result<Self, Error> {
        record.value().map(|_| Json::from_record(record)).transpose()
    }
}
