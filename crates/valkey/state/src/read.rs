//! Values that a function reads.

use crate::limits::{BYTES_MAX, READS_MAX};
use crate::{ChangeError, Namespace};

/// A value that a function reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub(crate) key: Vec<u8>,
    pub(crate) place: Place,
}

/// Where in the key the value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Value,
    Field(Vec<u8>),
    Member(Vec<u8>),
}

impl Read {
    /// The value of a key.
    pub fn value(key: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), place: Place::Value }
    }

    /// The value of a field of a hash.
    pub fn field(key: impl Into<Vec<u8>>, field: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), place: Place::Field(field.into()) }
    }

    /// The score of a member of a sorted set.
    pub fn score(key: impl Into<Vec<u8>>, member: impl Into<Vec<u8>>) -> Self {
        Self { key: key.into(), place: Place::Member(member.into()) }
    }

    /// The command that reads the value.
    pub fn command(&self, namespace: &Namespace) -> Vec<Vec<u8>> {
        let key = namespace.key(&self.key);
        match &self.place {
            Place::Value => vec![b"GET".to_vec(), key],
            Place::Field(field) => vec![b"HGET".to_vec(), key, field.clone()],
            Place::Member(member) => vec![b"ZSCORE".to_vec(), key, member.clone()],
        }
    }
}

/// The values that a function has read. The script compares them with the stored ones, so a change
/// that depends on one of them is applied only if it is still the same.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Reads {
    pub values: Vec<(Read, Option<Vec<u8>>)>,
    bytes: usize,
}

impl Reads {
    pub fn add(&mut self, read: Read, value: Option<Vec<u8>>) -> Result<(), ChangeError> {
        self.bytes += value.as_ref().map_or(0, Vec::len) + read.key.len();
        if self.values.len() == READS_MAX {
            return Err(ChangeError::TooManyReads);
        }
        if self.bytes > BYTES_MAX {
            return Err(ChangeError::TooManyReadBytes);
        }
        self.values.push((read, value));
        Ok(())
    }
}
