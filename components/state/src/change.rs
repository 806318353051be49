//! The changes that a function in another language returns.

use spin_kafka_sdk::State;
use spin_kafka_sdk::state::{Decimal, ENTRY_WORDS_MAX};

use crate::bindings::spin_kafka::events::changes::Change;

/// Makes the change of a key, or of a field of a hash.
macro_rules! change_value {
    ($state:ident, $change:ident, $method:ident($($operand:expr)?)) => {
        match $change.field {
            Some(field) => $state.hash(&$change.key).$method(field $(, $operand)?),
            None => $state.$method($change.key $(, $operand)?),
        }
    };
}

/// Makes the changes of one record, or none of them: then the error is the reason for which the
/// record is rejected.
pub fn make(changes: Vec<Change>, state: &mut State) -> Result<(), String> {
    changes.iter().try_for_each(check)?;
    changes.into_iter().try_for_each(|change| make_one(change, state))
}

/// Fails if the change is not possible, whatever is stored.
fn check(change: &Change) -> Result<(), String> {
    let (key, is_possible, problem) = match change {
        Change::Add(add) => return decimal(&add.key, &add.amount).map(drop),
        Change::Minimum(change) | Change::Maximum(change) => {
            (&change.key, change.number.is_finite(), "the number is not finite")
        }
        Change::AddScore(score) => (&score.key, score.by.is_finite(), "the score is not finite"),
        Change::Append(entry) => {
            let is_possible = (1..=ENTRY_WORDS_MAX / 2).contains(&entry.fields.len());
            let problem = "an entry has 1 to 500 fields, and its stream a length of at least 1";
            (&entry.key, is_possible && entry.length > 0, problem)
        }
        _ => return Ok(()),
    };
    if is_possible { Ok(()) } else { Err(format!("the key `{key}`: {problem}")) }
}

fn decimal(key: &str, text: &str) -> Result<Decimal, String> {
    text.parse().map_err(|error| format!("the key `{key}`: {error}"))
}

fn make_one(change: Change, state: &mut State) -> Result<(), String> {
    match change {
        Change::Increment(change) => change_value!(state, change, increment(change.by)),
        Change::Add(change) => {
            let amount = decimal(&change.key, &change.amount)?;
            change_value!(state, change, add(amount));
        }
        Change::Minimum(change) => change_value!(state, change, minimum(change.number)),
        Change::Maximum(change) => change_value!(state, change, maximum(change.number)),
        Change::Set(change) => change_value!(state, change, set(change.value)),
        Change::Delete(change) => change_value!(state, change, delete()),
        Change::AddScore(score) => state.add_score(score.key, score.member, score.by),
        Change::AddDistinct(element) => state.add_distinct(element.key, element.element),
        Change::Append(entry) => state.append(entry.key, entry.length, &entry.fields),
        Change::ExpireAt(expiry) => state.expire_at(expiry.key, expiry.at_ms),
        Change::Quotient(quotient) => {
            state.quotient(quotient.key, quotient.dividend, quotient.divisor);
        }
        Change::DeleteUnlessEqual(equality) => {
            state.hash(&equality.key).delete_unless_equal(equality.field, equality.other);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::spin_kafka::events::changes::{
        Amount, Assignment, Element, Entry, Equality, Expiry, Integer, Number, Place, Quotient,
        Score,
    };

    fn key() -> String {
        "k".into()
    }

    fn add(amount: &str) -> Change {
        Change::Add(Amount { key: key(), field: None, amount: amount.into() })
    }

    #[test]
    fn a_change_is_that_of_a_key_or_of_a_field() {
        for field in [None, Some("f".to_owned())] {
            let number = |number| Number { key: key(), field: field.clone(), number };
            let place = Place { key: key(), field: field.clone() };
            let (mut state, mut expected) = (State::default(), State::default());
            let value = Assignment { key: key(), field: field.clone(), value: b"7".to_vec() };
            let changes = vec![
                Change::Delete(place),
                Change::Set(value),
                Change::Increment(Integer { key: key(), field: field.clone(), by: -2 }),
                Change::Add(Amount { key: key(), field: field.clone(), amount: "0.5".into() }),
                Change::Minimum(number(3.25)),
                Change::Maximum(number(8.0)),
            ];
            make(changes, &mut state).unwrap();
            let half = "0.5".parse().unwrap();
            if let Some(field) = &field {
                expected.hash("k").delete(field);
                expected.hash("k").set(field, "7");
                expected.hash("k").increment(field, -2);
                expected.hash("k").add(field, half);
                expected.hash("k").minimum(field, 3.25);
                expected.hash("k").maximum(field, 8.0);
            } else {
                expected.delete("k");
                expected.set("k", "7");
                expected.increment("k", -2);
                expected.add("k", half);
                expected.minimum("k", 3.25);
                expected.maximum("k", 8.0);
            }
            assert_eq!(state, expected);
        }
    }

    #[test]
    fn the_other_changes_are_those_of_the_state() {
        let (mut state, mut expected) = (State::default(), State::default());
        let entry = Entry { key: "s".into(), length: 2, fields: vec![("f".into(), b"v".to_vec())] };
        let (dividend, divisor) = ("k".to_owned(), "n".to_owned());
        let (field, other) = ("f".to_owned(), "n".to_owned());
        let changes = vec![
            Change::AddScore(Score { key: "z".into(), member: "m".into(), by: 1.5 }),
            Change::AddDistinct(Element { key: "d".into(), element: "e".into() }),
            Change::Append(entry),
            Change::ExpireAt(Expiry { key: "s".into(), at_ms: 5 }),
            Change::Quotient(Quotient { key: "q".into(), dividend, divisor }),
            Change::DeleteUnlessEqual(Equality { key: "h".into(), field, other }),
        ];
        make(changes, &mut state).unwrap();
        expected.add_score("z", "m", 1.5);
        expected.add_distinct("d", "e");
        expected.append("s", 2, &[("f", "v")]);
        expected.expire_at("s", 5);
        expected.quotient("q", "k", "n");
        expected.hash("h").delete_unless_equal("f", "n");
        assert_eq!(state, expected);
    }

    #[test]
    fn a_record_with_a_change_that_is_not_possible_changes_nothing() {
        let number = |number| Number { key: key(), field: None, number };
        let entry = |length, fields| {
            Change::Append(Entry {
                key: key(),
                length,
                fields: vec![("f".into(), Vec::new()); fields],
            })
        };
        let score = Score { key: key(), member: "m".into(), by: f64::NAN };
        for impossible in [
            add("1e3"),
            add(""),
            Change::Minimum(number(f64::INFINITY)),
            Change::Maximum(number(f64::NAN)),
            Change::AddScore(score),
            entry(0, 1),
            entry(1, 0),
            entry(1, 501),
        ] {
            let mut state = State::default();
            let reason = make(vec![add("1"), impossible], &mut state).unwrap_err();
            assert!(reason.starts_with("the key `k`: "), "{reason}");
            assert_eq!(state, State::default());
        }
        make(vec![entry(1, 500)], &mut State::default()).unwrap();
    }
}
