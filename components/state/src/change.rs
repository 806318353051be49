//! The changes that a function in another language returns.

use spin_kafka_sdk::State;

use crate::bindings::spin_kafka::events::changes::Change;

/// Makes the change of a key, or of a field of a hash.
macro_rules! change_value {
    ($state:ident, $change:ident, $method:ident($($operand:expr)?)) => {
        match &$change.field {
            Some(field) => $state.hash(&$change.key).$method(field $(, $operand)?),
            None => $state.$method(&$change.key $(, $operand)?),
        }
    };
}

/// Makes the changes of one record, or none of them: then the error is the reason for which the
/// record is rejected. Otherwise this record would stop the program, also after each restart.
pub fn make(changes: &[Change], state: &mut State) -> Result<(), String> {
    let mut alone = State::default();
    make_all(changes, &mut alone)?;
    alone.check_all().map_err(|error| format!("the changes of the record: {error}"))?;
    make_all(changes, state)
}

fn make_all(changes: &[Change], state: &mut State) -> Result<(), String> {
    changes.iter().try_for_each(|change| make_one(change, state))
}

/// Fails if a text is not a decimal. The state itself remembers other changes that are not possible.
fn make_one(change: &Change, state: &mut State) -> Result<(), String> {
    match change {
        Change::Increment(change) => change_value!(state, change, increment(change.by)),
        Change::Add(change) => {
            let amount = change.amount.parse();
            let amount = amount.map_err(|error| format!("the key `{}`: {error}", change.key))?;
            change_value!(state, change, add(amount));
        }
        Change::Minimum(change) => change_value!(state, change, minimum(change.number)),
        Change::Maximum(change) => change_value!(state, change, maximum(change.number)),
        Change::Set(change) => change_value!(state, change, set(change.value.as_slice())),
        Change::Delete(change) => change_value!(state, change, delete()),
        Change::AddScore(score) => state.add_score(&score.key, &score.member, score.by),
        Change::AddDistinct(element) => state.add_distinct(&element.key, &element.element),
        Change::Append(entry) => state.append(&entry.key, entry.length, &entry.fields),
        Change::ExpireAt(expiry) => state.expire_at(&expiry.key, expiry.at_ms),
        Change::Quotient(quotient) => {
            let (dividend, divisor) = (quotient.dividend.as_str(), quotient.divisor.as_str());
            state.quotient(&quotient.key, dividend, divisor);
        }
        Change::DeleteUnlessEqual(equality) => {
            let (field, other) = (equality.field.as_str(), equality.other.as_str());
            state.hash(&equality.key).delete_unless_equal(field, other);
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

    fn increment(key: &str, field: Option<&str>, by: i64) -> Change {
        Change::Increment(Integer { key: key.into(), field: field.map(str::to_owned), by })
    }

    fn set(key: &str, value: &[u8]) -> Change {
        Change::Set(Assignment { key: key.into(), field: None, value: value.into() })
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
            make(&changes, &mut state).unwrap();
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
            increment("k", None, 6),
            increment("n", None, 2),
            increment("h", Some("f"), 2),
            Change::AddScore(Score { key: "z".into(), member: "m".into(), by: 1.5 }),
            Change::AddDistinct(Element { key: "d".into(), element: "e".into() }),
            Change::Append(entry),
            Change::ExpireAt(Expiry { key: "s".into(), at_ms: 5 }),
            Change::Quotient(Quotient { key: "q".into(), dividend, divisor }),
            Change::DeleteUnlessEqual(Equality { key: "h".into(), field, other }),
        ];
        make(&changes, &mut state).unwrap();
        expected.increment("k", 6);
        expected.increment("n", 2);
        expected.hash("h").increment("f", 2);
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
        let score = |by| Change::AddScore(Score { key: "z".into(), member: "m".into(), by });
        let place = || Place { key: key(), field: None };
        let (dividend, divisor) = ("other".to_owned(), key());
        let quotient = Quotient { key: "q".into(), dividend, divisor };
        let (field, other) = ("f".to_owned(), key());
        let equality = Equality { key: "h".into(), field, other };
        let many = (0..100_001).map(|number| increment("h", Some(&number.to_string()), 1));
        for (impossible, reason) in [
            (vec![add("1e3")], "the key `k`: "),
            (vec![add("")], "the key `k`: "),
            (vec![Change::Minimum(number(f64::INFINITY))], "`k` is not a finite number"),
            (vec![Change::Maximum(number(f64::NAN))], "`k` is not a finite number"),
            (vec![score(f64::NAN)], "`z` is not a finite number"),
            (vec![Change::Delete(place()), entry(0, 1)], "the length of the stream is 0"),
            (vec![Change::Delete(place()), entry(1, 0)], "has no fields"),
            (vec![Change::Delete(place()), entry(1, 501)], "more than 1000 words"),
            (vec![increment("k", None, 1)], "the key `k` is changed as two types"),
            (vec![Change::Minimum(number(1.0))], "the key `k` is changed as two types"),
            (vec![set("t", b"x"), increment("t", None, 1)], "`t` is changed as two types"),
            (vec![increment("n", None, i64::MAX), increment("n", None, 1)], "too large"),
            (vec![Change::Quotient(quotient)], "the key `q` is derived from a value"),
            (vec![Change::DeleteUnlessEqual(equality)], "the key `h` is derived from a value"),
            (many.collect(), "more than 100000 values"),
            (vec![set("t", &vec![0; 9 << 20])], "more than 8388608 bytes"),
        ] {
            let mut state = State::default();
            let changes = [vec![add("1")], impossible].concat();
            let found = make(&changes, &mut state).unwrap_err();
            assert!(found.contains(reason), "{found}");
            assert_eq!(state, State::default());
            // The next record is counted.
            make(&[add("1")], &mut state).unwrap();
            assert_eq!(state.check_all(), Ok(()));
        }
        make(&[entry(1, 500)], &mut State::default()).unwrap();
    }
}
