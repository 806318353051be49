//! Several sales or events in one request, each with its own result.

use http::{HeaderMap, StatusCode, header};
use sale::Violation;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::request::{Context, IDEMPOTENCY_KEY_FIELD, check_many_key, key_of_item};
use crate::{IntakeError, Problem};

/// Maximum number of sales or events in one request.
pub const ITEMS_MAX: usize = 1_000;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// The media types of such a request.
pub const MEDIA_TYPES: [&str; 2] = [JSON, LINES];

/// Whether the body has one item per line. It is a JSON array otherwise.
pub fn has_lines(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|value| value.to_ascii_lowercase().starts_with(LINES))
}

/// Splits a JSON array, or one JSON value per line if `lines` is set. The items are not parsed.
pub fn split(body: &[u8], lines: bool) -> Result<Vec<&[u8]>, Violation> {
    let items = if lines { split_lines(body) } else { split_array(body)? };
    // Counted before any item is parsed, because explaining what is wrong with an item is
    // expensive.
    let reason = match items.len() {
        0 => "must contain at least one item".into(),
        n if n > ITEMS_MAX => format!("must contain at most {ITEMS_MAX} items"),
        _ => return Ok(items),
    };
    Err(Violation::new("body", reason))
}

fn split_lines(body: &[u8]) -> Vec<&[u8]> {
    body.split(|byte| *byte == b'\n')
        .filter(|line| !line.trim_ascii().is_empty())
        .take(ITEMS_MAX + 1)
        .collect()
}

fn split_array(body: &[u8]) -> Result<Vec<&[u8]>, Violation> {
    let array: Vec<&RawValue> = serde_json::from_slice(body)
        .map_err(|e| Violation::new("body", format!("must be a JSON array: {e}")))?;
    Ok(array.into_iter().map(|item| item.get().as_bytes()).collect())
}

impl Context {
    /// Checks that the key, with an index appended, stays within the limit of a key.
    pub fn check_many_key(self) -> Result<Self, Problem> {
        if let Some(key) = &self.idempotency_key {
            check_many_key(IDEMPOTENCY_KEY_FIELD, key)?;
        }
        Ok(self)
    }

    /// The context of one of the sales. Its key is the request's key with `:` and the sale's index
    /// appended.
    pub fn for_item(&self, index: usize) -> Self {
        let key = self.idempotency_key.as_ref().map(|key| key_of_item(key, index));
        Self { idempotency_key: key, traceparent: self.traceparent.clone() }
    }
}

/// The result of each item of a request, in the request's order.
pub struct Results(pub Vec<Result<(), IntakeError>>);

impl Results {
    /// 200 if all were accepted, the common status if all failed with the same one, otherwise 207.
    pub fn status(&self) -> StatusCode {
        let mut statuses = self.0.iter().map(|result| match result {
            Ok(()) => StatusCode::OK,
            Err(error) => error.http_status(),
        });
        let first = statuses.next().unwrap_or(StatusCode::OK);
        if statuses.all(|status| status == first) { first } else { StatusCode::MULTI_STATUS }
    }

    /// The response body: the number of accepted items, and the result of each item, which is
    /// `answer` if it was accepted.
    pub fn to_json(&self, answer: &Value) -> Vec<u8> {
        let accepted = self.0.iter().filter(|result| result.is_ok()).count();
        let results: Vec<Value> = self
            .0
            .iter()
            .map(|result| match result {
                Ok(()) => answer.clone(),
                Err(error) => serde_json::json!(Problem::from(error.clone())),
            })
            .collect();
        let body = serde_json::json!({
            "accepted": accepted,
            "rejected": self.0.len() - accepted,
            "results": results,
        });
        body.to_string().into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::{MANY_KEY_BYTES_MAX, idempotency_key};

    const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":1,"cantidad_vendida":1}"#;

    #[test]
    fn arrays_and_lines() {
        let array = format!("[{SALE}, {{}}, {SALE}]");
        assert_eq!(split(array.as_bytes(), false).unwrap(), [SALE, "{}", SALE].map(str::as_bytes));
        let lines = format!("{SALE}\n\nx\r\n{SALE}\n");
        assert_eq!(split(lines.as_bytes(), true).unwrap(), [SALE, "x\r", SALE].map(str::as_bytes));
    }

    #[test]
    fn bounds() {
        for body in ["", "{}", "[]"] {
            assert_eq!(split(body.as_bytes(), false).unwrap_err().field, "body", "{body}");
        }
        let many = |n: usize| format!("[{}]", vec![SALE; n].join(","));
        assert!(split(many(ITEMS_MAX).as_bytes(), false).is_ok());
        assert!(split(many(ITEMS_MAX + 1).as_bytes(), false).is_err());
        let lines = vec![SALE; ITEMS_MAX + 1].join("\n");
        assert!(split(lines.as_bytes(), true).is_err());
    }

    #[test]
    fn the_media_type_says_whether_there_are_lines() {
        let lines = |value: &str| {
            has_lines(&HeaderMap::from_iter([(header::CONTENT_TYPE, value.parse().unwrap())]))
        };
        assert!(lines("application/x-ndjson") && lines("Application/X-NDJSON; charset=utf-8"));
        assert!(!lines("application/json") && !has_lines(&HeaderMap::new()));
    }

    #[test]
    fn each_sale_has_a_key_that_the_next_hop_accepts() {
        let context = |key: String| Context { idempotency_key: Some(key), traceparent: None };
        let longest = context("k".repeat(MANY_KEY_BYTES_MAX)).check_many_key().unwrap();
        let last = longest.for_item(ITEMS_MAX - 1).idempotency_key.unwrap();
        assert!(last.ends_with("k:999"));
        let header = ("idempotency-key".parse().unwrap(), last.parse().unwrap());
        let read = idempotency_key(&HeaderMap::from_iter([header]), "idempotency-key");
        assert_eq!(read, Ok(Some(last)));
        let problem = context("k".repeat(MANY_KEY_BYTES_MAX + 1)).check_many_key().unwrap_err();
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some("Idempotency-Key")));
        assert_eq!(Context::default().check_many_key().unwrap().for_item(0), Context::default());
    }

    #[test]
    fn only_a_complete_success_is_200() {
        let down = || Err(IntakeError::Unavailable("down".into()));
        assert_eq!(Results(vec![Ok(()), Ok(())]).status(), 200);
        assert_eq!(Results(vec![Ok(()), down()]).status(), 207);
        assert_eq!(Results(vec![down(), down()]).status(), 503);
    }
}
