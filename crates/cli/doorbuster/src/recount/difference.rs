//! Compares what two stores contain.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use redis::Value;
use redis::aio::MultiplexedConnection;

use super::Window;
use super::window::Places;
use crate::bytes::shown;

/// Maximum relative error of a score: it is a sum of doubles, which depends on their order.
const SCORE_TOLERANCE: f64 = 1e-9;

/// The longest text of a value that is kept.
const VALUE_CHARS: usize = 200;

/// A place with different values in two stores.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The key, and the field or member in it.
    pub place: String,
    /// The value in the first store.
    pub first: String,
    /// The value in the second store.
    pub second: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// Compares the replies of two stores to the commands of a window. A key that is missing in one
/// store and expires in the other is not a difference: it may have expired between the commands.
pub async fn differences(
    window: &Window,
    first: (&[Value], &mut MultiplexedConnection),
    second: (&[Value], &mut MultiplexedConnection),
) -> redis::RedisResult<Vec<Difference>> {
    let ((first, first_store), (second, second_store)) = (first, second);
    let mut found: BTreeMap<&[u8], Vec<Difference>> = BTreeMap::new();
    for ((read, first), second) in window.reads().iter().zip(first).zip(second) {
        let differences = compare(&read.key, &read.places, first, second);
        if !differences.is_empty() {
            found.entry(&read.key).or_default().extend(differences);
        }
    }
    let mut expiring = HashSet::new();
    for key in found.keys() {
        let one = expiry(key, first_store).await?;
        let other = expiry(key, second_store).await?;
        if matches!((one, other), (MISSING, 0..) | (0.., MISSING)) {
            expiring.insert(*key);
        }
    }
    found.retain(|key, _| !expiring.contains(key));
    Ok(found.into_values().flatten().collect())
}

/// The reply to PTTL if the key does not exist.
const MISSING: i64 = -2;

async fn expiry(key: &[u8], store: &mut MultiplexedConnection) -> redis::RedisResult<i64> {
    redis::cmd("PTTL").arg(key).query_async(store).await
}

fn compare(key: &[u8], places: &Places, first: &Value, second: &Value) -> Vec<Difference> {
    let key = shown(Some(key));
    let is_score = matches!(places, Places::Scores(_));
    let names = match places {
        Places::Value => return one(key.into(), false, first, second).into_iter().collect(),
        Places::Estimate => {
            let place = format!("{key} (estimate)");
            return one(place, false, first, second).into_iter().collect();
        }
        Places::Length => {
            let place = format!("{key} (number of elements)");
            return one(place, false, first, second).into_iter().collect();
        }
        Places::Fields(names) | Places::Scores(names) | Places::Members(names) => names,
    };
    let (Value::Array(firsts), Value::Array(seconds)) = (first, second) else {
        return one(key.into(), false, first, second).into_iter().collect();
    };
    let elements = names.iter().zip(firsts.iter().zip(seconds));
    let compare = |(name, (first, second)): (&Vec<u8>, (&Value, &Value))| {
        one(format!("{key} {}", shown(Some(name))), is_score, first, second)
    };
    elements.filter_map(compare).collect()
}

fn one(place: String, is_score: bool, first: &Value, second: &Value) -> Option<Difference> {
    if first == second || is_score && is_close(first, second) {
        return None;
    }
    Some(Difference { place, first: text(first), second: text(second) })
}

fn is_close(first: &Value, second: &Value) -> bool {
    let score = |value: &Value| redis::from_redis_value_ref::<f64>(value).ok();
    let (Some(first), Some(second)) = (score(first), score(second)) else { return false };
    (first - second).abs() <= SCORE_TOLERANCE * first.abs().max(second.abs())
}

/// A value as it is shown; `nothing` if there is none.
pub fn text(value: &Value) -> String {
    let text = match value {
        Value::Nil => "nothing".into(),
        Value::Int(number) => number.to_string(),
        Value::SimpleString(text) => text.clone(),
        Value::BulkString(bytes) => shown(Some(bytes)).into_owned(),
        Value::ServerError(error) => error.to_string(),
        other => format!("{other:?}"),
    };
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn the_place_of_a_difference_is_named() {
        let names = vec![b"a".to_vec(), b"b".to_vec()];
        let (first, second) =
            (Value::Array(vec![bulk("1"), bulk("2")]), Value::Array(vec![bulk("1"), Value::Nil]));
        let found = compare(b"k", &Places::Fields(names), &first, &second);
        let expected =
            Difference { place: "k b".into(), first: "2".into(), second: "nothing".into() };
        assert_eq!(found, [expected]);
        assert_eq!(compare(b"k", &Places::Value, &bulk("1"), &bulk("1")), []);
    }

    #[test]
    fn only_scores_may_differ_by_a_rounding_error() {
        let (first, second) = ("0.30000000000000004", "0.3");
        assert!(one("k".into(), true, &bulk(first), &bulk(second)).is_none());
        assert!(one("k".into(), false, &bulk(first), &bulk(second)).is_some());
        assert!(one("k".into(), true, &bulk("3"), &bulk("3.1")).is_some());
        assert!(one("k".into(), true, &bulk("3"), &Value::Nil).is_some());
    }
}
