//! The changes that a function makes in a batch.

use std::collections::{BTreeMap, HashMap};

use crate::change::{Change, Cost, Defect, Operation};
use crate::derived::{Derived, Indexes};
use crate::limits::{BYTES_MAX, OPERATIONS_MAX, READS_MAX};
use crate::read::{Read, Reads};
use crate::{ChangeError, Decimal, Namespace};

/// The changes that a function makes in a batch, and the values that it has read for it.
///
/// Changes of the same value are combined, so a thousand increments of one counter are one
/// operation. A change that is not possible, such as one above the limits, is reported when the
/// batch is applied. Then nothing of the batch is applied, and the program ends with the reason.
///
/// A value that does not exist yet counts as 0 for additions, and has no minimum and no maximum.
///
/// Two states are equal if they make the same changes, so a test can compare the state after a
/// function was called with an expected one.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    namespace: Option<Namespace>,
    pub(crate) changes: HashMap<Vec<u8>, Change>,
    pub(crate) derived: BTreeMap<Vec<u8>, Derived>,
    pub(crate) reads: Reads,
    pub(crate) cost: Cost,
    error: Option<ChangeError>,
}

impl State {
    /// No changes of the state with these keys. The default, for tests, has no names of keys.
    pub fn new(namespace: Namespace) -> Self {
        Self { namespace: Some(namespace), ..Self::default() }
    }

    /// The names of the keys in Valkey.
    pub fn namespace(&self) -> Option<&Namespace> {
        self.namespace.as_ref()
    }

    /// Adds to the integer of a key.
    pub fn increment(&mut self, key: impl AsRef<[u8]>, by: i64) {
        self.value(key.as_ref(), Operation::Add(by));
    }

    /// Adds to the decimal of a key.
    pub fn add(&mut self, key: impl AsRef<[u8]>, amount: Decimal) {
        self.value(key.as_ref(), Operation::AddDecimal(amount));
    }

    /// Keeps the smaller one of this number and the number of a key.
    pub fn minimum(&mut self, key: impl AsRef<[u8]>, number: f64) {
        self.value(key.as_ref(), Operation::Minimum(number));
    }

    /// Keeps the larger one of this number and the number of a key.
    pub fn maximum(&mut self, key: impl AsRef<[u8]>, number: f64) {
        self.value(key.as_ref(), Operation::Maximum(number));
    }

    /// Sets the value of a key, and removes its time of expiry.
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        self.value(key.as_ref(), Operation::Set(value.into()));
    }

    /// A hash whose fields are changed.
    pub fn hash<'a>(&'a mut self, key: &'a (impl AsRef<[u8]> + ?Sized)) -> Hash<'a> {
        Hash { state: self, key: key.as_ref() }
    }

    /// Adds to the score of a member of a sorted set. Scores are doubles: sums of integers are exact
    /// up to 2^53.
    pub fn add_score(&mut self, key: impl AsRef<[u8]>, member: impl AsRef<[u8]>, by: f64) {
        self.add_scores(key, [(member, by)]);
    }

    /// Adds to the scores of several members of a sorted set.
    pub fn add_scores<M: AsRef<[u8]>>(
        &mut self,
        key: impl AsRef<[u8]>,
        scores: impl IntoIterator<Item = (M, f64)>,
    ) {
        self.alter(key.as_ref(), |change, cost| change.scores(scores.into_iter(), cost));
    }

    /// Sets a key to the quotient of the values of two keys after the batch, as the shortest decimal
    /// that parses to the same double. The batch must change both values. If the divisor is 0, the
    /// key is deleted.
    pub fn quotient(
        &mut self,
        key: impl AsRef<[u8]>,
        dividend: impl Into<Vec<u8>>,
        divisor: impl Into<Vec<u8>>,
    ) {
        let (dividend, divisor) = (dividend.into(), divisor.into());
        self.derive(key.as_ref(), Derived::Quotient { dividend, divisor });
    }

    /// Adds an element to a HyperLogLog, from which `PFCOUNT` estimates the number of distinct
    /// elements.
    pub fn add_distinct(&mut self, key: impl AsRef<[u8]>, element: impl AsRef<[u8]>) {
        self.alter(key.as_ref(), |change, cost| change.element(element.as_ref(), cost));
    }

    /// Appends an entry of at most 500 fields to a stream, and cuts the stream to its last `length` entries.
    pub fn append<F: AsRef<[u8]>, V: AsRef<[u8]>>(
        &mut self,
        key: impl AsRef<[u8]>,
        length: u32,
        fields: &[(F, V)],
    ) {
        let words = fields.iter().flat_map(|(f, v)| [f.as_ref().to_vec(), v.as_ref().to_vec()]);
        self.alter(key.as_ref(), |change, cost| change.entry(length, words.collect(), cost));
    }

    /// Deletes a key.
    pub fn delete(&mut self, key: impl AsRef<[u8]>) {
        self.alter(key.as_ref(), |change, cost| {
            change.delete(cost);
            Ok(())
        });
    }

    /// Lets a key expire at a time in milliseconds since 1970-01-01 UTC. If that has passed, the key
    /// is deleted. Derive the time from the timestamps of the records, not from a clock: then a
    /// state that is built again from the log has the same keys.
    pub fn expire_at(&mut self, key: impl AsRef<[u8]>, unix_ms: i64) {
        self.alter(key.as_ref(), |change, _| {
            change.expires_at_ms = Some(unix_ms);
            Ok(())
        });
    }

    /// Stores a value that was read, or that there was none. If the value in Valkey is another one
    /// when the changes are applied, nothing is applied, and the function runs again.
    pub fn record_read(&mut self, read: Read, value: Option<Vec<u8>>) {
        if self.error.is_none() {
            self.error = self.reads.add(read, value).err();
        }
    }

    /// Fails if the function cannot read this number of values in addition to the earlier ones.
    pub fn check_reads(&self, count: usize) -> Result<(), ChangeError> {
        if self.reads.values.len() + count > READS_MAX {
            return Err(ChangeError::TooManyReads);
        }
        Ok(())
    }

    /// Fails if the changes are not possible with any stored value.
    #[doc(hidden)]
    pub fn check_all(&self) -> Result<(), ChangeError> {
        self.check()?;
        self.derived().map(drop)
    }

    /// The first change that was not possible.
    pub(crate) fn check(&self) -> Result<(), ChangeError> {
        self.error.clone().map_or(Ok(()), Err)
    }

    /// The derived changes, with the indexes of the keys that they depend on.
    pub(crate) fn derived(&self) -> Result<Vec<(&Derived, [usize; 2])>, ChangeError> {
        if self.derived.is_empty() {
            return Ok(Vec::new());
        }
        let indexes = Indexes::new(&self.changes);
        let derived = self.derived.iter();
        derived.map(|(key, derived)| Ok((derived, indexes.of(key, derived)?))).collect()
    }

    fn derive(&mut self, key: &[u8], derived: Derived) {
        if self.error.is_none() && self.derived.insert(key.to_vec(), derived).is_none() {
            self.cost.add(1, key.len());
            self.error = self.exceeded_limit();
        }
    }

    fn value(&mut self, key: &[u8], operation: Operation) {
        self.alter(key, |change, cost| {
            check(&operation)?;
            change.value(operation, cost)
        });
    }

    /// Changes a key. After an error, later changes are ignored, so that the memory is limited.
    fn alter(
        &mut self,
        key: &[u8],
        alter: impl FnOnce(&mut Change, &mut Cost) -> Result<(), Defect>,
    ) {
        if self.error.is_some() {
            return;
        }
        let result = match self.changes.get_mut(key) {
            Some(change) => alter(change, &mut self.cost),
            None => {
                self.cost.add(1, key.len());
                alter(self.changes.entry(key.to_vec()).or_default(), &mut self.cost)
            }
        };
        self.error = result.map_or_else(|defect| Some(defect.of(key)), |()| self.exceeded_limit());
    }

    fn exceeded_limit(&self) -> Option<ChangeError> {
        match self.cost {
            Cost { operations, .. } if operations > OPERATIONS_MAX => {
                Some(ChangeError::TooManyOperations)
            }
            Cost { bytes, .. } if bytes > BYTES_MAX => Some(ChangeError::TooManyBytes),
            _ => None,
        }
    }
}

/// A hash whose fields are changed. The changes are those of [`State`] for a key.
#[derive(Debug)]
pub struct Hash<'a> {
    state: &'a mut State,
    key: &'a [u8],
}

impl Hash<'_> {
    /// Adds to the integer of a field.
    pub fn increment(&mut self, field: impl AsRef<[u8]>, by: i64) {
        self.field(field.as_ref(), Operation::Add(by));
    }

    /// Adds to the decimal of a field.
    pub fn add(&mut self, field: impl AsRef<[u8]>, amount: Decimal) {
        self.field(field.as_ref(), Operation::AddDecimal(amount));
    }

    /// Keeps the smaller one of this number and the number of a field.
    pub fn minimum(&mut self, field: impl AsRef<[u8]>, number: f64) {
        self.field(field.as_ref(), Operation::Minimum(number));
    }

    /// Keeps the larger one of this number and the number of a field.
    pub fn maximum(&mut self, field: impl AsRef<[u8]>, number: f64) {
        self.field(field.as_ref(), Operation::Maximum(number));
    }

    /// Sets the value of a field.
    pub fn set(&mut self, field: impl AsRef<[u8]>, value: impl Into<Vec<u8>>) {
        self.field(field.as_ref(), Operation::Set(value.into()));
    }

    /// Deletes the hash, after the other changes of the batch, unless this field equals the value of
    /// another key. The batch must change both. With it, a hash that includes every record which a
    /// counter has counted stays, and one that began later does not.
    pub fn delete_unless_equal(&mut self, field: impl Into<Vec<u8>>, other: impl Into<Vec<u8>>) {
        let (field, other) = (field.into(), other.into());
        self.state.derive(self.key, Derived::DeleteUnlessEqual { field, other });
    }

    /// Deletes a field.
    pub fn delete(&mut self, field: impl AsRef<[u8]>) {
        self.field(field.as_ref(), Operation::Delete);
    }

    fn field(&mut self, field: &[u8], operation: Operation) {
        self.state.alter(self.key, |change, cost| {
            check(&operation)?;
            change.field(field, operation, cost)
        });
    }
}

fn check(operation: &Operation) -> Result<(), Defect> {
    match operation {
        Operation::Minimum(number) | Operation::Maximum(number) => finite(*number),
        _ => Ok(()),
    }
}

fn finite(number: f64) -> Result<(), Defect> {
    if number.is_finite() { Ok(()) } else { Err(Defect::NotFinite) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ENTRY_WORDS_MAX;

    #[test]
    fn changes_of_the_same_value_are_combined() {
        let (mut state, mut expected) = (State::default(), State::default());
        for number in [3, -1, 2] {
            state.increment("sum", number);
            state.minimum("low", number as f64);
            state.hash("totals").add("a", number.into());
            state.add_score("ranking", "a", number as f64);
        }
        expected.increment("sum", 4);
        expected.minimum("low", -1.0);
        expected.hash("totals").add("a", 4.into());
        expected.add_score("ranking", "a", 4.0);
        assert_eq!(state, expected);
        assert_eq!(state.cost.operations, 6, "four keys, a field and a member");
    }

    #[test]
    fn a_change_after_a_new_value_changes_the_new_value() {
        let (mut state, mut expected) = (State::default(), State::default());
        state.set("a", "5");
        state.increment("a", 2);
        state.hash("h").delete("b");
        state.hash("h").add("b", "1.50".parse().unwrap());
        expected.set("a", "7");
        expected.hash("h").set("b", "1.5");
        assert_eq!(state, expected);
    }

    #[test]
    fn a_new_value_is_changed_as_the_script_would_change_it() {
        let after = |value: &str, change: &dyn Fn(&mut State)| {
            let (mut state, mut expected) = (State::default(), State::default());
            state.set("a", value);
            change(&mut state);
            state.check().map(|()| {
                let change = &state.changes[&b"a"[..]];
                let crate::change::Content::Value(operation) = &change.content else { panic!() };
                expected.set("a", operation.operand());
                assert_eq!(state.changes, expected.changes);
                String::from_utf8(operation.operand()).unwrap()
            })
        };
        let wrong = || Err(ChangeError::Type("a".to_owned()));
        for value in ["+5", "5.0", "1e3", "", "-", " 5"] {
            assert_eq!(after(value, &|state| state.increment("a", 1)), wrong(), "{value}");
        }
        assert_eq!(after("-007", &|state| state.increment("a", 1)).as_deref(), Ok("-6"));
        for value in ["+5", ".5", "1e3", "1.0000000000", &"0".repeat(28)] {
            assert_eq!(after(value, &|state| state.add("a", 1.into())), wrong(), "{value}");
        }
        assert_eq!(after("5.", &|state| state.add("a", 1.into())).as_deref(), Ok("6"));
        for value in ["+5", ".5", "1e3", "inf"] {
            assert_eq!(after(value, &|state| state.minimum("a", 1.0)), wrong(), "{value}");
        }
        assert_eq!(
            after("5.0", &|state| state.minimum("a", 7.0)).as_deref(),
            Ok("5.0"),
            "it stays"
        );
        assert_eq!(after("5.0", &|state| state.maximum("a", 7.0)).as_deref(), Ok("7"));
    }

    #[test]
    fn a_deleted_key_can_get_another_type() {
        let mut state = State::default();
        state.increment("a", 1);
        state.expire_at("a", 5);
        state.delete("a");
        state.add_score("a", "member", 1.0);
        let change = &state.changes[&b"a"[..]];
        assert!(change.replaces && change.expires_at_ms.is_none());
        assert_eq!(state.check(), Ok(()));
    }

    #[test]
    fn a_new_value_has_no_time_of_expiry() {
        let mut state = State::default();
        state.expire_at("a", 5);
        state.set("a", "x");
        assert_eq!(state.changes[&b"a"[..]].expires_at_ms, None);
    }

    #[test]
    fn impossible_changes_are_errors_with_the_name_of_the_key() {
        let error = |change: &dyn Fn(&mut State)| {
            let mut state = State::default();
            change(&mut state);
            state.increment("later", 1);
            assert!(!state.changes.contains_key(&b"later"[..]), "it is ignored");
            state.check().unwrap_err()
        };
        let key = || "k".to_owned();
        let twice = |state: &mut State| {
            state.increment("k", 1);
            state.hash("k").increment("f", 1);
        };
        assert_eq!(error(&twice), ChangeError::Type(key()));
        let mixed = |state: &mut State| {
            state.increment("k", 1);
            state.minimum("k", 1.0);
        };
        assert_eq!(error(&mixed), ChangeError::Type(key()));
        let large = |state: &mut State| {
            state.increment("k", i64::MAX);
            state.increment("k", 1);
        };
        assert_eq!(error(&large), ChangeError::Overflow(key()));
        assert_eq!(error(&|state| state.maximum("k", f64::NAN)), ChangeError::NotFinite(key()));
        let empty: [(&str, &str); 0] = [];
        assert_eq!(error(&|state| state.append("k", 5, &empty)), ChangeError::EmptyEntry(key()));
        let large = [("f", "v"); ENTRY_WORDS_MAX / 2 + 1];
        assert_eq!(error(&|state| state.append("k", 5, &large)), ChangeError::LargeEntry(key()));
    }

    #[test]
    fn a_derived_value_needs_changes_of_its_operands() {
        let derived = |change: &dyn Fn(&mut State)| {
            let mut state = State::default();
            state.increment("sum", 1);
            state.hash("hash").increment("field", 1);
            change(&mut state);
            state.derived().map(|changes| changes.len())
        };
        assert_eq!(derived(&|state| state.quotient("average", "sum", "sum")), Ok(1));
        assert_eq!(derived(&|state| state.hash("hash").delete_unless_equal("field", "sum")), Ok(1));
        let missing = |key: &str| Err(ChangeError::Derived(key.to_owned()));
        for operand in ["other", "hash"] {
            let quotient = |state: &mut State| state.quotient("average", "sum", operand);
            assert_eq!(derived(&quotient), missing("average"), "{operand}");
        }
        assert_eq!(
            derived(&|state| state.hash("hash").delete_unless_equal("other", "sum")),
            missing("hash")
        );
        let changed = derived(&|state| state.quotient("sum", "sum", "sum"));
        assert_eq!(changed, Err(ChangeError::Type("sum".to_owned())));
    }

    #[test]
    fn the_number_and_the_size_of_changes_are_limited() {
        let mut state = State::default();
        for number in 0..OPERATIONS_MAX {
            state.hash("h").increment(number.to_string(), 1);
        }
        assert_eq!(state.check(), Err(ChangeError::TooManyOperations));

        let mut state = State::default();
        // Only the last value of a key and the last entries of a stream count.
        for _ in 0..20 {
            state.set("a", vec![b'x'; BYTES_MAX / 4]);
            state.append("s", 1, &[("f", vec![b'x'; BYTES_MAX / 4])]);
        }
        assert_eq!(state.check(), Ok(()));
        state.set("b", vec![b'x'; BYTES_MAX / 2]);
        assert_eq!(state.check(), Err(ChangeError::TooManyBytes));

        let mut state = State::default();
        state.record_read(Read::value("a"), Some(vec![b'x'; BYTES_MAX]));
        assert_eq!(state.check(), Err(ChangeError::TooManyReadBytes));
    }
}
