//! The record of a task: the complete request, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::keys::TaskId;
use crate::prefer::Preferences;
use crate::{TASK_HEADERS, named};

/// The version of the format.
const VERSION: u32 = 1;

/// The most bytes of a value. With the key and the headers of the record, it is shorter than 1,000,000
/// bytes, the limit of the producer.
const VALUE_BYTES_MAX: usize = 999_000;

/// Headers that make the answer to a `GET` another one than the resource.
const PARTIAL: [HeaderName; 4] =
    [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE, header::IF_RANGE, header::RANGE];

/// Headers that are not part of a task: credentials, which would be kept in the log and may have expired
/// when the task is handled, and those that concern one connection or one exchange.
const LEFT_OUT: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::PROXY_AUTHORIZATION,
    header::COOKIE,
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
    header::EXPECT,
    HeaderName::from_static("idempotency-key"),
];

/// A request that becomes a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRequest {
    /// The method.
    pub method: Method,
    /// The path and the query.
    pub path_with_query: String,
    /// The headers, without those that are left out.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// A task, as it is written to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// The id.
    pub id: TaskId,
    /// Who sent the request; empty if that is not known.
    pub subject: String,
    /// When it was accepted, in milliseconds since 1970-01-01 UTC.
    pub created_ms: u64,
    /// The request.
    pub request: TaskRequest,
}

/// Why a record is not one of a task, or a request cannot become one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A header is not text.
    #[error("the header `{0}` is not UTF-8")]
    Header(HeaderName),
    /// The value would be longer than permitted.
    #[error("the request is longer than {VALUE_BYTES_MAX} bytes as a record")]
    TooLong,
    /// The value is not JSON of this form.
    #[error("the value is not a task: {0}")]
    Form(String),
    /// A part of the request is not valid.
    #[error("the task has no valid {0}")]
    Part(&'static str),
}

/// The JSON of a record.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json<'a> {
    version: u32,
    id: &'a str,
    subject: String,
    created_ms: u64,
    method: &'a str,
    path: String,
    headers: Vec<(String, String)>,
    /// The body, if it is text that is not longer than in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    /// The body in base64 otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

impl TaskRequest {
    /// The request with these parts. Headers that are not part of a task, and these credentials, are
    /// removed.
    pub fn new(
        method: Method,
        path_with_query: String,
        mut headers: HeaderMap,
        preferences: Preferences,
        credentials: &[HeaderName],
        body: Bytes,
    ) -> Self {
        let partial: &[HeaderName] = if method == Method::GET { &PARTIAL } else { &[] };
        for left_out in [&LEFT_OUT[..], &TASK_HEADERS, partial, credentials] {
            for name in named(&headers, left_out) {
                headers.remove(name);
            }
        }
        preferences.insert_others(&mut headers);
        Self { method, path_with_query, headers, body }
    }

    /// Two requests with one key are the same task if this is equal.
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        let media_type = self.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        let (method, path) = (self.method.as_str(), &self.path_with_query);
        let parts =
            [method.as_bytes(), path.as_bytes(), media_type.unwrap_or_default(), &self.body];
        for part in parts {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        format!("{:x}", digest.finalize())
    }
}

impl TaskRecord {
    /// The value of the record.
    pub fn to_json(&self) -> Result<Vec<u8>, RecordError> {
        let request = &self.request;
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            let text = std::str::from_utf8(value.as_bytes());
            let text = text.map_err(|_| RecordError::Header(name.clone()))?;
            Ok((name.as_str().to_owned(), text.to_owned()))
        };
        let text = std::str::from_utf8(&request.body).ok();
        let base64_length = base64::encoded_len(request.body.len(), true);
        let text =
            text.filter(|text| base64_length.is_none_or(|length| escaped_length(text) <= length));
        let json = Json {
            version: VERSION,
            id: self.id.as_str(),
            subject: self.subject.clone(),
            created_ms: self.created_ms,
            method: request.method.as_str(),
            path: request.path_with_query.clone(),
            headers: request.headers.iter().map(field).collect::<Result<_, _>>()?,
            body: text.map(Into::into),
            body_base64: text.is_none().then(|| STANDARD.encode(&request.body)),
        };
        let value =
            serde_json::to_vec(&json).map_err(|error| RecordError::Form(error.to_string()))?;
        if value.len() > VALUE_BYTES_MAX { Err(RecordError::TooLong) } else { Ok(value) }
    }

    /// Reads the value of a record.
    pub fn parse(value: &[u8]) -> Result<Self, RecordError> {
        let form = |error: serde_json::Error| RecordError::Form(error.to_string());
        let json: Json<'_> = serde_json::from_slice(value).map_err(form)?;
        if json.version != VERSION {
            return Err(RecordError::Form(format!("version {}", json.version)));
        }
        let mut headers = HeaderMap::new();
        for (name, value) in json.headers {
            let name = HeaderName::try_from(name).map_err(|_| RecordError::Part("headers"))?;
            let value = HeaderValue::try_from(value).map_err(|_| RecordError::Part("headers"))?;
            headers.try_append(name, value).map_err(|_| RecordError::Part("headers"))?;
        }
        let body = match (json.body, json.body_base64) {
            (Some(text), None) => Bytes::from(text),
            (None, Some(text)) => {
                STANDARD.decode(text).map_err(|_| RecordError::Part("body"))?.into()
            }
            _ => return Err(RecordError::Part("body")),
        };
        if !json.path.starts_with('/') || json.path.parse::<http::uri::PathAndQuery>().is_err() {
            return Err(RecordError::Part("path"));
        }
        let method = json.method.parse().map_err(|_| RecordError::Part("method"))?;
        Ok(Self {
            id: TaskId::parse(json.id).ok_or(RecordError::Part("id"))?,
            subject: json.subject,
            created_ms: json.created_ms,
            request: TaskRequest { method, path_with_query: json.path, headers, body },
        })
    }
}

/// The bytes of a text in a JSON string.
fn escaped_length(text: &str) -> usize {
    let length = |byte| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        ..0x20 => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: &'static [u8]) -> TaskRecord {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("content-type", "text/plain"),
            ("x-a", "1"),
            ("x-a", "ñ"),
            ("authorization", "Bearer x"),
            ("cookie", "x"),
            ("idempotency-key", "k"),
            ("task-token", "forged"),
            ("task_token", "forged"),
            ("idempotency_key", "k"),
            ("x-api-key", "x"),
            ("prefer", "respond-async, return=minimal"),
        ] {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let preferences = Preferences::of(&headers);
        let credentials = [HeaderName::from_static("x-api-key")];
        let (body, path) = (Bytes::from_static(body), "/a?b=c".to_owned());
        TaskRecord {
            id: TaskId::parse("abcdefghijklmnopqrstu_").unwrap(),
            subject: "ada".into(),
            created_ms: 1_700_000_000_000,
            request: TaskRequest::new(Method::POST, path, headers, preferences, &credentials, body),
        }
    }

    #[test]
    fn a_record_has_the_request_without_credentials() {
        let json = r#"{"version":1,"id":"abcdefghijklmnopqrstu_","subject":"ada","created_ms":1700000000000,"method":"POST","path":"/a?b=c","headers":[["content-type","text/plain"],["x-a","1"],["x-a","ñ"],["prefer","return=minimal"]],"body":"text"}"#;
        let record = record(b"text");
        assert_eq!(String::from_utf8(record.to_json().unwrap()).unwrap(), json);
        assert_eq!(TaskRecord::parse(json.as_bytes()), Ok(record));
    }

    #[test]
    fn any_body_is_kept() {
        for body in [&b""[..], b"\xff\0", "ñ\"\\".as_bytes()] {
            let record = record(body);
            assert_eq!(TaskRecord::parse(&record.to_json().unwrap()), Ok(record));
        }
    }

    #[test]
    fn a_record_is_not_longer_than_permitted() {
        let length = |body: Vec<u8>| {
            let mut record = record(b"");
            record.request.body = body.into();
            let value = record.to_json().map(|value| value.len());
            value.inspect(|_| {
                assert_eq!(record.request, {
                    TaskRecord::parse(&record.to_json().unwrap()).unwrap().request
                })
            })
        };
        let longest = 512 << 10;
        assert!(length(vec![1; longest]).unwrap() < 700_200, "each byte would take 6 as text");
        assert!(length(vec![b'"'; longest]).unwrap() < 700_200);
        assert!(length(vec![b'a'; longest]).unwrap() < 525_000);
        assert_eq!(length(vec![1; 800_000]), Err(RecordError::TooLong));
    }

    #[test]
    fn a_result_does_not_depend_on_what_the_client_has() {
        let mut headers = HeaderMap::new();
        for name in PARTIAL {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        let count = |method| {
            let preferences = Preferences::default();
            let path = "/".to_owned();
            let request =
                TaskRequest::new(method, path, headers.clone(), preferences, &[], Bytes::new());
            request.headers.len()
        };
        assert_eq!((count(Method::GET), count(Method::PUT)), (0, PARTIAL.len()));
    }

    #[test]
    fn a_header_that_is_not_text_is_refused() {
        let mut record = record(b"");
        record.request.headers.insert("x-b", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(record.to_json(), Err(RecordError::Header(HeaderName::from_static("x-b"))));
    }

    #[test]
    fn the_digest_is_that_of_the_content() {
        let digest = |change: &dyn Fn(&mut TaskRequest)| {
            let mut request = record(b"text").request;
            change(&mut request);
            request.digest()
        };
        let same = digest(&|_| {});
        let other_header = HeaderValue::from_static("2");
        assert_eq!(digest(&|it| drop(it.headers.insert("x-b", other_header.clone()))), same);
        assert_ne!(digest(&|it| it.method = Method::PUT), same);
        assert_ne!(digest(&|it| it.path_with_query = "/a?b=d".into()), same);
        assert_ne!(digest(&|it| it.body = Bytes::from_static(b"other")), same);
        assert_ne!(digest(&|it| drop(it.headers.remove("content-type"))), same);
    }

    #[test]
    fn values_that_are_no_tasks_are_refused() {
        let json = String::from_utf8(record(b"text").to_json().unwrap()).unwrap();
        for (part, other) in [
            ("\"version\":1", "\"version\":2"),
            ("abcdefghij", "abc"),
            ("POST", "P ST"),
            ("/a?b=c", "http://other/"),
            ("\"x-a\"", "\"x a\""),
            ("\"1\"", "\"\\n\""),
            ("\"body\":\"text\"", "\"body_base64\":\"%\""),
            (",\"body\":\"text\"", ""),
            ("\"subject\":\"ada\",", ""),
            ("{\"version\"", "{\"more\":1,\"version\""),
        ] {
            let wrong = json.replace(part, other);
            assert_ne!(wrong, json);
            assert!(TaskRecord::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(TaskRecord::parse(b"\xff").is_err());
    }
}
