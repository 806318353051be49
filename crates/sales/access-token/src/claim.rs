//! Claims of a token: how they are named, compared and passed on.

use http::HeaderValue;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// The claims whose text is a list of words, separated by spaces (RFC 8693).
const WORD_LISTS: [&str; 2] = ["scope", "scp"];

/// The name of a claim, or a JSON pointer (RFC 6901) to a part of one, such as
/// `/realm_access/roles`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(transparent)]
pub struct ClaimName(String);

impl ClaimName {
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let Some(path) = self.0.strip_prefix('/') else { return claims.get(&self.0) };
        let (first, rest) = match path.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (path, None),
        };
        let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
        match rest {
            None => Some(value),
            Some(rest) => value.pointer(&format!("/{rest}")),
        }
    }

    /// Whether the claim has one of the accepted values, or contains it as an element or a word.
    pub fn has_one(&self, claims: &Map<String, Value>, accepted: &[String]) -> bool {
        let is_accepted = |text: &str| accepted.iter().any(|one| one == text);
        match self.find(claims) {
            Some(Value::String(text)) if WORD_LISTS.contains(&self.0.as_str()) => {
                text.split(' ').any(is_accepted)
            }
            Some(Value::Array(values)) => {
                values.iter().filter_map(scalar).any(|text| is_accepted(&text))
            }
            Some(value) => scalar(value).is_some_and(|text| is_accepted(&text)),
            None => false,
        }
    }
}

impl std::fmt::Display for ClaimName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text of a string, a number or a truth value.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// A claim as the value of a header: a text, a number or a truth value as it is, and a list of them
/// with commas. `None` if the claim is anything else, or if its text could be read in another way:
/// with a character that is not visible ASCII or a space, or with a comma in an element of a list.
pub(crate) fn header_value(value: &Value) -> Option<HeaderValue> {
    let text = match value {
        Value::Array(values) => {
            let texts: Vec<String> = values.iter().map(scalar).collect::<Option<_>>()?;
            if texts.iter().any(|text| text.is_empty() || text.contains(',')) {
                return None;
            }
            texts.join(",")
        }
        value => scalar(value)?,
    };
    let is_plain = text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) && text.trim() == text;
    is_plain.then(|| HeaderValue::from_str(&text).ok()).flatten()
}

/// The accepted values of a claim: one, or a list.
pub(crate) fn one_or_several<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "the values of a claim must be a string or a list of strings")]
    enum Values {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Values::deserialize(deserializer)? {
        Values::One(value) => vec![value],
        Values::Several(values) => values,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(text: &str) -> ClaimName {
        ClaimName(text.into())
    }

    #[test]
    fn a_claim_is_compared_as_a_whole() {
        let claims = json!({
            "role": "admin", "roles": ["a", "b c"], "scope": "read write", "level": 3,
            "realm": {"roles": ["owner"], "a/b": "x"}, "x/y": "z", "nothing": null,
        });
        let claims = claims.as_object().unwrap();
        let has = |claim, value: &str| name(claim).has_one(claims, &[value.into()]);
        for (claim, value) in [
            ("role", "admin"),
            ("roles", "b c"),
            ("scope", "write"),
            ("level", "3"),
            ("/realm/roles", "owner"),
            ("/realm/a~1b", "x"),
            ("/x~1y", "z"),
        ] {
            assert!(has(claim, value), "{claim}");
        }
        for (claim, value) in [
            ("role", "adm"),
            ("role", "Admin"),
            ("roles", "b"),
            ("scope", "read write"),
            ("scope", ""),
            ("realm", "owner"),
            ("nothing", "null"),
            ("none", ""),
            ("/realm/none", "owner"),
            ("/", ""),
        ] {
            assert!(!has(claim, value), "{claim}");
        }
    }

    #[test]
    fn a_claim_that_could_be_misread_is_not_passed_on() {
        let text = |value: Value| header_value(&value).map(|v| v.to_str().unwrap().to_owned());
        assert_eq!(text(json!("a b")).as_deref(), Some("a b"));
        assert_eq!(text(json!(["a", 1, true])).as_deref(), Some("a,1,true"));
        assert_eq!(text(json!(12)).as_deref(), Some("12"));
        for value in [
            json!("a\r\nx-admin: 1"),
            json!("ñ"),
            json!("a\0"),
            json!(" a"),
            json!(["a,b"]),
            json!(["a", ""]),
            json!({"a": 1}),
            json!([["a"]]),
            json!(null),
        ] {
            assert_eq!(text(value.clone()), None, "{value}");
        }
    }
}
