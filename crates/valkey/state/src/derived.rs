//! Changes that depend on the values after the other changes of the batch.

use std::collections::HashMap;

use crate::ChangeError;
use crate::change::{Change, Content};

/// A change of a key that depends on values which the batch changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Derived {
    /// The quotient of two values.
    Quotient { dividend: Vec<u8>, divisor: Vec<u8> },
    /// Deletes the key, a hash, unless this field equals the value of another key.
    DeleteUnlessEqual { field: Vec<u8>, other: Vec<u8> },
}

/// The indexes of the changed keys, as the script counts them.
pub(crate) struct Indexes<'a> {
    changes: &'a HashMap<Vec<u8>, Change>,
    of_key: HashMap<&'a [u8], usize>,
}

impl<'a> Indexes<'a> {
    pub fn new(changes: &'a HashMap<Vec<u8>, Change>) -> Self {
        let of_key = changes.keys().zip(1..).map(|(key, index)| (&key[..], index)).collect();
        Self { changes, of_key }
    }

    /// The indexes of the keys that a derived change depends on. Fails if one of them is not changed
    /// as the derived change requires.
    pub fn of(&self, key: &[u8], derived: &Derived) -> Result<[usize; 2], ChangeError> {
        let name = || String::from_utf8_lossy(key).into_owned();
        let index = |operand: &[u8], is_fit: &dyn Fn(&Content) -> bool| {
            let is_fit = self.changes.get(operand).is_some_and(|change| is_fit(&change.content));
            let index = self.of_key.get(operand).filter(|_| is_fit).copied();
            index.ok_or_else(|| ChangeError::Derived(name()))
        };
        let is_value = |content: &Content| matches!(content, Content::Value(_));
        match derived {
            Derived::Quotient { .. } if self.changes.contains_key(key) => {
                Err(ChangeError::Type(name()))
            }
            Derived::Quotient { dividend, divisor } => {
                Ok([index(dividend, &is_value)?, index(divisor, &is_value)?])
            }
            Derived::DeleteUnlessEqual { field, other } => {
                let has_field = |content: &Content| match content {
                    Content::Hash(fields) => fields.contains_key(field),
                    _ => false,
                };
                Ok([index(key, &has_field)?, index(other, &is_value)?])
            }
        }
    }
}
