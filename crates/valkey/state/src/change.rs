//! Changes of a key, combined from all changes that a function made in a batch.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::limits::ENTRY_WORDS_MAX;
use crate::{ChangeError, Decimal};

/// A change of one value: of a key, or of a field of a hash.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operation {
    Add(i64),
    AddDecimal(Decimal),
    Minimum(f64),
    Maximum(f64),
    Set(Vec<u8>),
    /// Only of a field.
    Delete,
}

/// Why a change cannot be combined with the earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Defect {
    Type,
    Overflow,
    NotFinite,
    EmptyEntry,
    LargeEntry,
}

impl Defect {
    /// The error about this key.
    pub fn of(self, key: &[u8]) -> ChangeError {
        let key = String::from_utf8_lossy(key).into_owned();
        match self {
            Self::Type => ChangeError::Type(key),
            Self::Overflow => ChangeError::Overflow(key),
            Self::NotFinite => ChangeError::NotFinite(key),
            Self::EmptyEntry => ChangeError::EmptyEntry(key),
            Self::LargeEntry => ChangeError::LargeEntry(key),
        }
    }
}

impl Operation {
    /// The operation with the effect of this one followed by `next`.
    pub fn then(&self, next: Self) -> Result<Self, Defect> {
        Ok(match (self, next) {
            (_, next @ (Self::Set(_) | Self::Delete)) => next,
            (Self::Add(a), Self::Add(b)) => Self::Add(a.checked_add(b).ok_or(Defect::Overflow)?),
            (Self::AddDecimal(a), Self::AddDecimal(b)) => {
                Self::AddDecimal(a.checked_add(b).ok_or(Defect::Overflow)?)
            }
            (Self::Minimum(a), Self::Minimum(b)) => Self::Minimum(a.min(b)),
            (Self::Maximum(a), Self::Maximum(b)) => Self::Maximum(a.max(b)),
            (Self::Delete, next) => Self::Set(next.operand()),
            (Self::Set(value), next) => Self::Set(next.applied_to(value)?),
            _ => return Err(Defect::Type),
        })
    }

    /// The value after this operation on a value that the function has set. It is the one that the
    /// script computes if the value is already stored, and the same texts are numbers.
    fn applied_to(&self, value: &[u8]) -> Result<Vec<u8>, Defect> {
        let number = || Number::parse(value).ok_or(Defect::Type);
        let after = match self {
            Self::Add(added) => {
                let value = number()?.integer().ok_or(Defect::Type)?;
                Self::Add(value.checked_add(*added).ok_or(Defect::Overflow)?)
            }
            Self::AddDecimal(added) => {
                let value = number()?.decimal().ok_or(Defect::Type)?;
                Self::AddDecimal(value.checked_add(*added).ok_or(Defect::Overflow)?)
            }
            Self::Minimum(other) if *other >= number()?.double()? => return Ok(value.into()),
            Self::Maximum(other) if *other <= number()?.double()? => return Ok(value.into()),
            Self::Minimum(_) | Self::Maximum(_) | Self::Set(_) | Self::Delete => self.clone(),
        };
        Ok(after.operand())
    }

    /// The name of the operation in the script.
    pub fn code(&self) -> u8 {
        match self {
            Self::Add(_) => b'i',
            Self::AddDecimal(_) => b'd',
            Self::Minimum(_) => b'<',
            Self::Maximum(_) => b'>',
            Self::Set(_) => b'=',
            Self::Delete => b'-',
        }
    }

    /// The operand in the script, which is also the value of a key that does not exist yet.
    pub fn operand(&self) -> Vec<u8> {
        match self {
            Self::Add(number) => itoa::Buffer::new().format(*number).into(),
            Self::AddDecimal(number) => number.to_string().into(),
            Self::Minimum(number) | Self::Maximum(number) => number.to_string().into(),
            Self::Set(value) => value.clone(),
            Self::Delete => Vec::new(),
        }
    }

    /// Number of bytes of the operand, which is an estimate for a number.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Set(value) => value.len(),
            _ => NUMBER_BYTES,
        }
    }
}

const NUMBER_BYTES: usize = 20;

/// A text that the script accepts as a number: digits, perhaps with a minus sign and a point.
struct Number<'a> {
    text: &'a str,
    whole: &'a str,
    /// The digits after the point, if there is one.
    fraction: Option<&'a str>,
}

impl<'a> Number<'a> {
    fn parse(value: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(value).ok()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (digits, None),
        };
        let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let is_number = !whole.is_empty() && is_digits(whole) && fraction.is_none_or(is_digits);
        is_number.then_some(Self { text, whole, fraction })
    }

    fn integer(&self) -> Option<i64> {
        if self.fraction.is_some() { None } else { self.text.parse().ok() }
    }

    fn decimal(&self) -> Option<Decimal> {
        if self.whole.len() > 27 || self.fraction.is_some_and(|digits| digits.len() > 9) {
            return None;
        }
        self.text.trim_end_matches('.').parse().ok()
    }

    fn double(&self) -> Result<f64, Defect> {
        self.text.parse().map_err(|_| Defect::Type)
    }
}

/// All changes of a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Change {
    /// The key is deleted before its other changes.
    pub replaces: bool,
    /// When the key expires, in milliseconds since 1970.
    pub expires_at_ms: Option<i64>,
    pub content: Content,
}

/// The changes of the content of a key.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum Content {
    #[default]
    Unchanged,
    Value(Operation),
    Hash(HashMap<Vec<u8>, Operation>),
    SortedSet(HashMap<Vec<u8>, f64>),
    Distinct(HashSet<Vec<u8>>),
    Stream(Stream),
}

/// New entries of a stream.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Stream {
    /// Maximum number of entries.
    pub length: u32,
    /// For each entry, its fields and values in turn.
    pub entries: VecDeque<Vec<Vec<u8>>>,
}

impl Content {
    /// The cost of all changes.
    fn cost(&self) -> Cost {
        let mut cost = Cost::default();
        match self {
            Self::Unchanged => {}
            Self::Value(operation) => cost.add(0, operation.bytes()),
            Self::Hash(fields) => {
                fields.iter().for_each(|(field, o)| cost.add(1, field.len() + o.bytes()));
            }
            Self::SortedSet(members) => {
                members.keys().for_each(|member| cost.add(1, member.len() + NUMBER_BYTES));
            }
            Self::Distinct(elements) => {
                elements.iter().for_each(|element| cost.add(1, element.len()));
            }
            Self::Stream(stream) => {
                stream.entries.iter().for_each(|entry| cost.add_entry(entry));
            }
        }
        cost
    }
}

/// The number of operations and of bytes in all changes of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub operations: usize,
    pub bytes: usize,
}

impl Cost {
    pub fn add(&mut self, operations: usize, bytes: usize) {
        self.operations += operations;
        self.bytes += bytes;
    }

    fn remove(&mut self, operations: usize, bytes: usize) {
        self.operations = self.operations.saturating_sub(operations);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    fn add_entry(&mut self, entry: &[Vec<u8>]) {
        self.add(entry.len(), entry.iter().map(Vec::len).sum());
    }

    fn remove_entry(&mut self, entry: &[Vec<u8>]) {
        self.remove(entry.len(), entry.iter().map(Vec::len).sum());
    }
}

impl Change {
    /// Adds a change of the key's value.
    pub fn value(&mut self, next: Operation, cost: &mut Cost) -> Result<(), Defect> {
        if matches!(next, Operation::Set(_)) {
            self.expires_at_ms = None;
        }
        let combined = match &self.content {
            Content::Unchanged => next,
            Content::Value(operation) => {
                cost.remove(0, operation.bytes());
                operation.then(next)?
            }
            _ => return Err(Defect::Type),
        };
        cost.add(0, combined.bytes());
        self.content = Content::Value(combined);
        Ok(())
    }

    /// Adds a change of a field of a hash.
    pub fn field(&mut self, field: &[u8], next: Operation, cost: &mut Cost) -> Result<(), Defect> {
        if self.content == Content::Unchanged {
            self.content = Content::Hash(HashMap::new());
        }
        let Content::Hash(fields) = &mut self.content else { return Err(Defect::Type) };
        if let Some(operation) = fields.get_mut(field) {
            cost.remove(0, operation.bytes());
            *operation = operation.then(next)?;
            cost.add(0, operation.bytes());
        } else {
            cost.add(1, field.len() + next.bytes());
            fields.insert(field.to_vec(), next);
        }
        Ok(())
    }

    /// Adds to the scores of several members, most of which are new.
    pub fn scores<M: AsRef<[u8]>>(
        &mut self,
        scores: impl Iterator<Item = (M, f64)>,
        cost: &mut Cost,
    ) -> Result<(), Defect> {
        if self.content == Content::Unchanged {
            self.content = Content::SortedSet(HashMap::with_capacity(scores.size_hint().0));
        }
        let Content::SortedSet(members) = &mut self.content else { return Err(Defect::Type) };
        for (member, added) in scores {
            if !added.is_finite() {
                return Err(Defect::NotFinite);
            }
            let score = members.entry(member.as_ref().to_vec()).or_insert_with(|| {
                cost.add(1, member.as_ref().len() + NUMBER_BYTES);
                0.0
            });
            *score += added;
            if !score.is_finite() {
                return Err(Defect::Overflow);
            }
        }
        Ok(())
    }

    /// Adds an element to a HyperLogLog.
    pub fn element(&mut self, element: &[u8], cost: &mut Cost) -> Result<(), Defect> {
        if self.content == Content::Unchanged {
            self.content = Content::Distinct(HashSet::new());
        }
        let Content::Distinct(elements) = &mut self.content else { return Err(Defect::Type) };
        if !elements.contains(element) {
            cost.add(1, element.len());
            elements.insert(element.to_vec());
        }
        Ok(())
    }

    /// Adds an entry to a stream of at most `length` entries.
    pub fn entry(
        &mut self,
        length: u32,
        entry: Vec<Vec<u8>>,
        cost: &mut Cost,
    ) -> Result<(), Defect> {
        if entry.is_empty() || length == 0 {
            return Err(Defect::EmptyEntry);
        }
        if entry.len() > ENTRY_WORDS_MAX {
            return Err(Defect::LargeEntry);
        }
        if self.content == Content::Unchanged {
            self.content = Content::Stream(Stream::default());
        }
        let Content::Stream(stream) = &mut self.content else { return Err(Defect::Type) };
        cost.add_entry(&entry);
        stream.length = length;
        stream.entries.push_back(entry);
        while stream.entries.len() > length as usize {
            if let Some(oldest) = stream.entries.pop_front() {
                cost.remove_entry(&oldest);
            }
        }
        Ok(())
    }

    /// Deletes the key.
    pub fn delete(&mut self, cost: &mut Cost) {
        let dropped = self.content.cost();
        cost.remove(dropped.operations, dropped.bytes);
        *self = Self { replaces: true, ..Self::default() };
    }
}
