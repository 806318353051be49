//! What a record adds to its windows.

use std::collections::BTreeMap;

use spin_kafka_state::{Decimal, State, is_valid_name};

use crate::RecordError;
use crate::limits::{ADDITIONS_MAX, AMOUNT_LIMIT, GROUP_BYTES_MAX, INTEGER_MAX};
use crate::quantile::bucket;

/// What one record adds to each of its windows.
///
/// An aggregate is created when something is added to its name. The names and kinds of aggregates
/// must be constants of the function: a name that records use for two kinds stops the program. An
/// addition that is not possible, such as a number above the limits, rejects the record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Window {
    /// For each group, the aggregates and what is added to them.
    pub(crate) groups: BTreeMap<Vec<u8>, Vec<(String, Addition)>>,
    count: usize,
    error: Option<RecordError>,
}

/// An addition to one aggregate.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Addition {
    Count(i64),
    Sum(Decimal),
    Average(Decimal),
    Minimum(f64),
    Maximum(f64),
    Distinct(Vec<u8>),
    Top(Vec<u8>, i64),
    Quantiles(u64),
}

/// The part of a window that belongs to one group.
#[derive(Debug)]
pub struct Group<'a> {
    window: &'a mut Window,
    name: Vec<u8>,
}

impl Window {
    /// The part that belongs to a group, for example to a product.
    pub fn group(&mut self, group: impl Into<Vec<u8>>) -> Group<'_> {
        let name = group.into();
        self.check_text(&name);
        Group { window: self, name }
    }

    /// The part that belongs to no group.
    pub fn all(&mut self) -> Group<'_> {
        Group { window: self, name: Vec::new() }
    }

    /// Adds to an integer of the part that belongs to no group.
    pub fn count(&mut self, aggregate: &str, by: i64) {
        self.all().count(aggregate, by);
    }

    /// Adds to the score of a member in a ranking, without a group. The members with the highest
    /// scores are the top of the window.
    pub fn top(&mut self, aggregate: &str, member: impl Into<Vec<u8>>, by: i64) {
        self.all().top(aggregate, member, by);
    }

    /// The first addition that was not possible, or too many of them for this number of windows.
    pub(crate) fn check(&self, windows: usize) -> Result<(), RecordError> {
        match &self.error {
            Some(error) => Err(error.clone()),
            None if self.count * windows > ADDITIONS_MAX => Err(RecordError::TooManyAdditions),
            None => Ok(()),
        }
    }

    fn check_text(&mut self, text: &[u8]) {
        if text.is_empty() || text.len() > GROUP_BYTES_MAX {
            self.fail(RecordError::Text);
        }
    }

    fn fail(&mut self, error: RecordError) {
        self.error.get_or_insert(error);
    }

    /// Adds to a group. After the maximum, additions are only counted, so that the memory is limited.
    fn add(&mut self, group: &[u8], aggregate: &str, addition: Addition) {
        self.count += 1;
        if !is_valid_name(aggregate) {
            self.fail(RecordError::name(aggregate));
        }
        if self.count > ADDITIONS_MAX || self.error.is_some() {
            return;
        }
        let addition = (aggregate.to_owned(), addition);
        match self.groups.get_mut(group) {
            Some(additions) => additions.push(addition),
            None => drop(self.groups.insert(group.to_vec(), vec![addition])),
        }
    }
}

impl Group<'_> {
    /// Adds to an integer.
    pub fn count(&mut self, aggregate: &str, by: i64) {
        self.check_integer(by);
        self.add(aggregate, Addition::Count(by));
    }

    /// Adds to an exact decimal.
    pub fn sum(&mut self, aggregate: &str, amount: Decimal) {
        self.check_amount(amount);
        self.add(aggregate, Addition::Sum(amount));
    }

    /// Adds a value to an average, which is stored as a sum and a count.
    pub fn average(&mut self, aggregate: &str, amount: Decimal) {
        self.check_amount(amount);
        self.add(aggregate, Addition::Average(amount));
    }

    /// Keeps the smaller number.
    pub fn minimum(&mut self, aggregate: &str, number: f64) {
        self.check_number(number);
        self.add(aggregate, Addition::Minimum(number));
    }

    /// Keeps the larger number.
    pub fn maximum(&mut self, aggregate: &str, number: f64) {
        self.check_number(number);
        self.add(aggregate, Addition::Maximum(number));
    }

    /// Adds an element to an estimate of the number of distinct elements.
    pub fn distinct(&mut self, aggregate: &str, element: impl Into<Vec<u8>>) {
        let element = element.into();
        self.window.check_text(&element);
        self.add(aggregate, Addition::Distinct(element));
    }

    /// Adds to the score of a member in a ranking.
    pub fn top(&mut self, aggregate: &str, member: impl Into<Vec<u8>>, by: i64) {
        let member = member.into();
        self.window.check_text(&member);
        self.check_integer(by);
        self.add(aggregate, Addition::Top(member, by));
    }

    /// Adds a value to the ones whose quantiles are estimated.
    pub fn quantiles(&mut self, aggregate: &str, value: u64) {
        self.add(aggregate, Addition::Quantiles(bucket(value)));
    }

    pub(crate) fn add(&mut self, aggregate: &str, addition: Addition) {
        self.window.add(&self.name, aggregate, addition);
    }

    fn check_integer(&mut self, number: i64) {
        if number.checked_abs().is_none_or(|absolute| absolute > INTEGER_MAX) {
            self.window.fail(RecordError::Number);
        }
    }

    fn check_amount(&mut self, amount: Decimal) {
        let limit = Decimal::from(AMOUNT_LIMIT);
        if amount >= limit || amount <= -limit {
            self.window.fail(RecordError::Number);
        }
    }

    fn check_number(&mut self, number: f64) {
        if !number.is_finite() {
            self.window.fail(RecordError::Number);
        }
    }
}

impl Addition {
    /// Adds this to the window that begins at `start_ms`, and lets its keys expire.
    pub fn apply(&self, state: &mut State, key: &WindowKey<'_>, group: &[u8], expires_ms: i64) {
        let name = if self.has_own_key() { key.of_group(group) } else { key.of_all_groups() };
        match self {
            Self::Count(by) => state.hash(&name).increment(group, *by),
            Self::Sum(amount) => state.hash(&name).add(group, *amount),
            Self::Average(amount) => {
                state.hash(&name).add([b"sum:", group].concat(), *amount);
                state.hash(&name).increment([b"count:", group].concat(), 1);
            }
            Self::Minimum(number) => state.hash(&name).minimum(group, *number),
            Self::Maximum(number) => state.hash(&name).maximum(group, *number),
            Self::Distinct(element) => state.add_distinct(&name, element),
            // Integers up to `INTEGER_MAX` are exact.
            Self::Top(member, by) => state.add_score(&name, member, *by as f64),
            Self::Quantiles(bucket) => state.hash(&name).increment(bucket.to_string(), 1),
        }
        state.expire_at(&name, expires_ms);
    }

    /// Whether each group has a key of its own. Otherwise it is a field of a hash.
    fn has_own_key(&self) -> bool {
        matches!(self, Self::Distinct(_) | Self::Top(..) | Self::Quantiles(_))
    }
}

/// The names of the keys of one aggregate in one window.
pub(crate) struct WindowKey<'a> {
    pub aggregate: &'a str,
    pub start_ms: i64,
}

impl WindowKey<'_> {
    fn of_all_groups(&self) -> Vec<u8> {
        format!("{}:{}", self.aggregate, self.start_ms / 1_000).into_bytes()
    }

    fn of_group(&self, group: &[u8]) -> Vec<u8> {
        let mut key = self.of_all_groups();
        if !group.is_empty() {
            key.push(b':');
            key.extend(group);
        }
        key
    }
}
