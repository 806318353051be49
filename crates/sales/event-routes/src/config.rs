//! The configuration: a JSON document.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderName;
use intake::hop_times;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use strict_json::Strict;

use crate::ConfigError;
use crate::key::KeySource;
use crate::object::FieldConfig;

/// The Spin variable with the configuration.
pub const ROUTES_VARIABLE: &str = "ingest_routes";

/// Maximum length of the configuration, in bytes.
pub const TEXT_BYTES_MAX: usize = 256 << 10;

/// Maximum length of a body, in bytes: the upper limit of `body_bytes_max`.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// Maximum number of routes.
const ROUTES_MAX: usize = 64;

/// Maximum number of media types of a route.
const MEDIA_TYPES_MAX: usize = 16;

/// Maximum number of headers that a route passes on.
const HEADERS_MAX: usize = 32;

/// Maximum number of secrets of a route.
const SECRETS_MAX: usize = 4;

/// Maximum length of the body of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 1 << 10;

/// Maximum length of a topic's name, as in Kafka.
const TOPIC_BYTES_MAX: usize = 249;

/// Maximum length of the name of a record's header, in bytes.
const RECORD_HEADER_BYTES_MAX: usize = 128;

/// Maximum difference between the time of a signature and the clock, in seconds.
const TOLERANCE_S_MAX: u32 = 86_400;

/// The headers of a record that only the component sets.
const RESERVED_HEADERS: [&str; 2] =
    [intake::request::IDEMPOTENCY_KEY, intake::request::TRACEPARENT];

/// The routes. `docs/reference/event-ingest.md` describes all fields.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The routes. No two of them have the same path.
    pub routes: Vec<RouteConfig>,
}

/// One route.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    /// The path of the requests. Slashes at its ends do not matter.
    pub path: String,
    /// The methods.
    #[serde(default = "post")]
    pub methods: BTreeSet<MethodName>,
    /// The topic of the records.
    pub topic: String,
    /// What a body contains.
    #[serde(default)]
    pub format: Format,
    /// The media types of a body; for CloudEvents those of their data.
    #[serde(default = "json")]
    pub media_types: Vec<String>,
    /// Maximum length of a body, in bytes.
    #[serde(default = "default_body_bytes_max")]
    pub body_bytes_max: usize,
    /// The JSON Schema of a body, or of the data of a CloudEvent.
    pub schema: Option<Value>,
    /// The fields of a body, in place of a schema. They are written in their order, in one form.
    pub fields: Option<Vec<FieldConfig>>,
    /// Where several events are accepted in one request, each with its own result.
    pub batch: Option<BatchConfig>,
    /// Where the key of a record is.
    pub key: Option<KeySource>,
    /// The headers that are passed on: the name in the request, and that in the record.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// How the sender signs a request.
    pub signature: Option<SignatureConfig>,
    /// How retries of a request are recognised.
    #[serde(default)]
    pub idempotency_key: KeyUse,
    /// The JSON in the body of a successful answer.
    #[serde(default = "default_answer")]
    pub answer: Value,
    /// The name of this hop in `Server-Timing`; without one, the times are not reported.
    pub server_timing: Option<String>,
}

/// Where several events are accepted in one request.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchConfig {
    /// The path of the requests. Slashes at its ends do not matter.
    pub path: String,
    /// Maximum length of a body, in bytes.
    #[serde(default = "default_batch_bytes_max")]
    pub body_bytes_max: usize,
}

/// A method of requests with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum MethodName {
    /// `PATCH`.
    Patch,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
}

impl MethodName {
    /// The name in a request.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patch => "PATCH",
            Self::Post => "POST",
            Self::Put => "PUT",
        }
    }
}

/// What a body contains.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON. It is written as it was received.
    #[default]
    Json,
    /// Any bytes.
    Bytes,
    /// A CloudEvent 1.0, or several in JSON.
    Cloudevents,
}

/// The use of the header that identifies retries.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeyUse {
    /// The name of the header.
    pub header: String,
    /// Whether a request without it is refused.
    pub required: bool,
    /// Whether the key is claimed in Valkey, so that another request with it is refused.
    pub claim: bool,
}

impl Default for KeyUse {
    fn default() -> Self {
        Self { header: "Idempotency-Key".into(), required: false, claim: false }
    }
}

/// How a request is signed: with HMAC-SHA256.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignatureConfig {
    /// Over the body, as GitHub does.
    Body(BodySignature),
    /// As <https://www.standardwebhooks.com> specifies.
    StandardWebhooks(TimedSignature),
    /// Over the time and the body, in one header: `t=<seconds>,v1=<hex>`, as Stripe does.
    Timestamped(TimestampedSignature),
}

/// A signature over the body.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodySignature {
    /// The header with the signature.
    pub header: String,
    /// The text before the signature, such as `sha256=`.
    #[serde(default)]
    pub prefix: String,
    /// The encoding of the signature.
    #[serde(default)]
    pub encoding: Encoding,
    /// The Spin variables with the secrets, of which one must match.
    #[serde(deserialize_with = "secret_names")]
    pub secrets: Vec<String>,
}

/// A signature over a time, in headers whose names are fixed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimedSignature {
    /// The Spin variables with the secrets, of which one must match.
    #[serde(deserialize_with = "secret_names")]
    pub secrets: Vec<String>,
    /// Maximum difference between the time of the signature and the clock, in seconds.
    #[serde(default = "default_tolerance_s")]
    pub tolerance_s: u32,
}

/// A signature over a time, in one header.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimestampedSignature {
    /// The header with the time and the signatures.
    pub header: String,
    /// The Spin variables with the secrets, of which one must match.
    #[serde(deserialize_with = "secret_names")]
    pub secrets: Vec<String>,
    /// Maximum difference between the time of the signature and the clock, in seconds.
    #[serde(default = "default_tolerance_s")]
    pub tolerance_s: u32,
}

/// The encoding of a signature.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// Hexadecimal digits.
    #[default]
    Hex,
    /// Base64, with or without padding.
    Base64,
}

fn post() -> BTreeSet<MethodName> {
    BTreeSet::from([MethodName::Post])
}

fn json() -> Vec<String> {
    vec!["application/json".into()]
}

fn default_body_bytes_max() -> usize {
    intake::request::BODY_BYTES_MAX
}

fn default_batch_bytes_max() -> usize {
    intake::request::MANY_BODY_BYTES_MAX
}

fn default_tolerance_s() -> u32 {
    300
}

fn default_answer() -> Value {
    serde_json::json!({ "status": "accepted" })
}

impl Config {
    /// Parses and checks the configuration.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        if text.len() > TEXT_BYTES_MAX {
            let reason = format!("must have at most {TEXT_BYTES_MAX} bytes");
            return Err(ConfigError::new(ROUTES_VARIABLE, reason));
        }
        let mut json = serde_json::Deserializer::from_str(text);
        let config: Self =
            serde_path_to_error::deserialize(Strict(&mut json)).map_err(|error| {
                let place = error.path().to_string();
                let reason = reason(&place, error.inner());
                ConfigError::new(place, reason)
            })?;
        json.end().map_err(|error| ConfigError::new(ROUTES_VARIABLE, error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// The names of the Spin variables with secrets.
    pub fn secret_names(&self) -> BTreeSet<&str> {
        let signatures = self.routes.iter().filter_map(|route| route.signature.as_ref());
        signatures.flat_map(SignatureConfig::secrets).map(String::as_str).collect()
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_number("routes", self.routes.len(), 1, ROUTES_MAX)?;
        let mut paths = BTreeSet::new();
        for (index, route) in self.routes.iter().enumerate() {
            let place = route.place(index);
            route.check().map_err(|error| error.within(&place))?;
            let batch = route.batch.as_ref().map(|batch| ("batch.path", &batch.path));
            for (field, path) in std::iter::once(("path", &route.path)).chain(batch) {
                if !paths.insert(path.trim_matches('/')) {
                    let place = format!("{place}.{field}");
                    return Err(ConfigError::new(place, "is also the path of another route"));
                }
            }
        }
        Ok(())
    }
}

impl RouteConfig {
    /// The place of this route in errors.
    pub(crate) fn place(&self, index: usize) -> String {
        format!("routes[{index}] (`{}`)", self.path)
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_path(&self.path)?;
        check_topic(&self.topic)?;
        check_number("methods", self.methods.len(), 1, 3)?;
        check_number("media_types", self.media_types.len(), 1, MEDIA_TYPES_MAX)?;
        for media_type in &self.media_types {
            check_media_type(media_type)?;
        }
        check_number("body_bytes_max", self.body_bytes_max, 1, BODY_BYTES_MAX)?;
        if self.schema.is_some() && self.format == Format::Bytes {
            let reason = "requires the format `json` or `cloudevents`";
            return Err(ConfigError::new("schema", reason));
        }
        if self.fields.is_some() && (self.schema.is_some() || self.format != Format::Json) {
            let reason = "requires the format `json`, and no `schema`";
            return Err(ConfigError::new("fields", reason));
        }
        if let Some(batch) = &self.batch {
            batch.check(self.format).map_err(|error| error.within("batch"))?;
        }
        if let Some(hop) = &self.server_timing
            && !hop_times::is_name(hop)
        {
            let reason = "must have 1 to 32 lowercase letters, digits and hyphens";
            return Err(ConfigError::new("server_timing", reason));
        }
        if let Some(key) = &self.key {
            key.check(self.format).map_err(|error| error.within("key"))?;
        }
        self.check_headers().map_err(|error| error.within("headers"))?;
        header_name(&self.idempotency_key.header)
            .map_err(|error| error.within("idempotency_key.header"))?;
        if let Some(signature) = &self.signature {
            signature.check().map_err(|error| error.within("signature"))?;
        }
        check_number("answer", self.answer.to_string().len(), 1, ANSWER_BYTES_MAX)
    }

    fn check_headers(&self) -> Result<(), ConfigError> {
        let fault = |place: &str, reason| Err(ConfigError::new(format!("`{place}`"), reason));
        if self.headers.len() > HEADERS_MAX {
            return fault("*", format!("must be at most {HEADERS_MAX} headers"));
        }
        let mut names = BTreeSet::new();
        for (from, to) in &self.headers {
            header_name(from)?;
            if !(1..=RECORD_HEADER_BYTES_MAX).contains(&to.len()) {
                let reason = format!("must have 1 to {RECORD_HEADER_BYTES_MAX} bytes");
                return fault(from, reason);
            }
            let lower = to.to_ascii_lowercase();
            let of_cloud_event = self.format == Format::Cloudevents
                && (lower == "content-type" || lower.starts_with("ce_"));
            if of_cloud_event || RESERVED_HEADERS.contains(&lower.as_str()) {
                return fault(from, format!("`{to}` is a header that the component sets"));
            }
            if !names.insert(to) {
                return fault(from, format!("`{to}` is also the name of another header"));
            }
        }
        Ok(())
    }
}

impl BatchConfig {
    fn check(&self, format: Format) -> Result<(), ConfigError> {
        if format != Format::Json {
            return Err(ConfigError::new("*", "requires the format `json`"));
        }
        check_path(&self.path)?;
        check_number("body_bytes_max", self.body_bytes_max, 1, BODY_BYTES_MAX)
    }
}

impl SignatureConfig {
    pub(crate) fn secrets(&self) -> &[String] {
        match self {
            Self::Body(body) => &body.secrets,
            Self::StandardWebhooks(timed) => &timed.secrets,
            Self::Timestamped(timed) => &timed.secrets,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_number("secrets", self.secrets().len(), 1, SECRETS_MAX)?;
        let (header, tolerance_s) = match self {
            Self::Body(body) => (Some(&body.header), None),
            Self::StandardWebhooks(timed) => (None, Some(timed.tolerance_s)),
            Self::Timestamped(timed) => (Some(&timed.header), Some(timed.tolerance_s)),
        };
        if let Some(header) = header {
            header_name(header).map_err(|error| error.within("header"))?;
        }
        let seconds = tolerance_s.unwrap_or(1) as usize;
        check_number("tolerance_s", seconds, 1, TOLERANCE_S_MAX as usize)
    }
}

/// The reason of a field that could not be parsed. A secret that is written in a wrong place of a
/// signature must not appear in it.
fn reason(place: &str, error: &serde_json::Error) -> String {
    let text = error.to_string();
    let quotes_value = ["invalid type: string", "invalid value: string", "unknown variant"];
    if place.contains(".signature") && quotes_value.iter().any(|start| text.starts_with(start)) {
        return "has a value that is not allowed".into();
    }
    text
}

/// The names of Spin variables with secrets. An error does not contain the value, because it may be a
/// secret that was written here by mistake.
fn secret_names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let is_name = |name: &String| {
        name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    let value = Value::deserialize(deserializer)?;
    serde_json::from_value(value)
        .ok()
        .filter(|names: &Vec<String>| names.iter().all(is_name))
        .ok_or_else(|| {
            D::Error::custom("must be a list of names of Spin variables, such as `webhook_secret`")
        })
}

/// A header of a request.
pub(crate) fn header_name(name: &str) -> Result<HeaderName, ConfigError> {
    name.parse().map_err(|_| ConfigError::new(format!("`{name}`"), "is not a name of a header"))
}

fn check_number(field: &str, number: usize, min: usize, max: usize) -> Result<(), ConfigError> {
    if (min..=max).contains(&number) {
        return Ok(());
    }
    Err(ConfigError::new(field, format!("must be {min} to {max}, not {number}")))
}

fn check_path(path: &str) -> Result<(), ConfigError> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"?#*".contains(&byte);
    if path.starts_with('/') && path.bytes().all(is_plain) {
        return Ok(());
    }
    let reason = "must begin with a slash, and must have no query, wildcard or space";
    Err(ConfigError::new("path", reason))
}

fn check_topic(topic: &str) -> Result<(), ConfigError> {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let length = (1..=TOPIC_BYTES_MAX).contains(&topic.len());
    if length && topic.bytes().all(is_legal) && !matches!(topic, "." | "..") {
        return Ok(());
    }
    Err(ConfigError::new("topic", "is not a name of a topic"))
}

fn check_media_type(media_type: &str) -> Result<(), ConfigError> {
    let is_token = |text: &str| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic() && !b"/;,\"*".contains(&b))
    };
    match media_type.split_once('/') {
        Some((kind, subtype)) if is_token(kind) && is_token(subtype) => Ok(()),
        _ => {
            let reason = format!("`{media_type}` is not a media type without parameters");
            Err(ConfigError::new("media_types", reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The error of a configuration with one route, which has these fields in addition.
    fn fault(fields: Value) -> String {
        let mut route = json!({"path": "/orders", "topic": "orders"});
        route.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        match Config::parse(&json!({ "routes": [route] }).to_string()) {
            Ok(_) => String::new(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn a_path_and_a_topic_are_enough() {
        assert_eq!(fault(json!({})), "");
    }

    #[test]
    fn errors_name_the_route_and_the_field() {
        for (fields, place) in [
            (json!({"path": "orders"}), "routes[0] (`orders`).path"),
            (json!({"path": "/orders/*"}), "routes[0] (`/orders/*`).path"),
            (json!({"topic": "a b"}), "routes[0] (`/orders`).topic"),
            (json!({"topik": "a"}), "routes[0].topik"),
            (json!({"methods": ["GET"]}), "routes[0].methods[0]"),
            (json!({"methods": []}), "routes[0] (`/orders`).methods"),
            (json!({"media_types": ["json"]}), "routes[0] (`/orders`).media_types"),
            (json!({"media_types": ["a/b; c=d"]}), "routes[0] (`/orders`).media_types"),
            (json!({"body_bytes_max": 0}), "routes[0] (`/orders`).body_bytes_max"),
            (json!({"body_bytes_max": 2_000_000}), "routes[0] (`/orders`).body_bytes_max"),
            (json!({"key": {"pointer": "id"}}), "routes[0] (`/orders`).key.pointer"),
            (json!({"key": {"cookie": "id"}}), "routes[0].key"),
            (json!({"batch": ["/batch"]}), "routes[0].batch"),
            (json!({"format": "bytes", "schema": true}), "routes[0] (`/orders`).schema"),
            (json!({"headers": {"a b": "c"}}), "routes[0] (`/orders`).headers.`a b`"),
            (json!({"headers": {"a": "traceparent"}}), "routes[0] (`/orders`).headers.`a`"),
            (json!({"headers": {"a": "Traceparent"}}), "routes[0] (`/orders`).headers.`a`"),
            (json!({"headers": {"a": "x", "b": "x"}}), "routes[0] (`/orders`).headers.`b`"),
            (
                json!({"format": "cloudevents", "headers": {"a": "ce_id"}}),
                "routes[0] (`/orders`).headers.`a`",
            ),
            (json!({"idempotency_key": {"claims": true}}), "routes[0].idempotency_key.claims"),
            (
                json!({"signature": {"body": {"header": "x", "secrets": []}}}),
                "routes[0] (`/orders`).signature.secrets",
            ),
            (
                json!({"signature": {"standard_webhooks": {"secrets": ["a"], "tolerance_s": 0}}}),
                "routes[0] (`/orders`).signature.tolerance_s",
            ),
            (
                json!({"signature": {"standard_webhooks": {"secret": "a"}}}),
                "routes[0].signature.standard_webhooks.secret",
            ),
            (json!({"answer": "x".repeat(2_000)}), "routes[0] (`/orders`).answer"),
            (json!({"server_timing": "a b"}), "routes[0] (`/orders`).server_timing"),
            (json!({"fields": [], "schema": true}), "routes[0] (`/orders`).fields"),
            (json!({"fields": [], "format": "bytes"}), "routes[0] (`/orders`).fields"),
            (json!({"batch": {"path": "many"}}), "routes[0] (`/orders`).batch.path"),
            (json!({"batch": {"path": "/orders/"}}), "routes[0] (`/orders`).batch.path"),
            (
                json!({"batch": {"path": "/many"}, "format": "cloudevents"}),
                "routes[0] (`/orders`).batch.*",
            ),
            (
                json!({"fields": [{"name": "a", "type": {"f64": {"least": 1}}}]}),
                "routes[0].fields[0].type.f64.least",
            ),
        ] {
            let fault = fault(fields);
            assert!(fault.starts_with(&format!("{place}: ")), "{fault}");
        }
    }

    #[test]
    fn a_secret_in_the_wrong_place_is_not_in_the_error() {
        const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        for signature in [
            json!({"standard_webhooks": {"secrets": SECRET}}),
            json!({"standard_webhooks": {"secrets": [SECRET]}}),
            json!({"body": {"header": "x", "secrets": ["name", SECRET]}}),
            json!({"body": {"header": "x", "secrets": [[SECRET]]}}),
            json!({"body": {"header": "x", "secrets": ["a"], "encoding": SECRET}}),
            json!({"timestamped": {"header": "x", "secrets": {"a": SECRET}}}),
            json!({"timestamped": {"header": "x", "secrets": ["a"], "tolerance_s": SECRET}}),
            json!({"standard_webhooks": SECRET}),
            json!(SECRET),
        ] {
            let fault = fault(json!({"signature": signature}));
            assert!(fault.starts_with("routes[0].signature"), "{fault}");
            assert!(!fault.contains("whsec"), "{fault}");
        }
        let name = json!({"standard_webhooks": {"secrets": ["webhook_secret2"]}});
        assert_eq!(fault(json!({"signature": name})), "");
    }

    #[test]
    fn a_path_belongs_to_one_route() {
        let route = |path: &str| json!({"path": path, "topic": "t"});
        let config = json!({"routes": [route("/a"), route("/b"), route("/a/")]});
        let error = Config::parse(&config.to_string()).unwrap_err();
        assert_eq!(error.place, "routes[2] (`/a/`).path");
    }

    #[test]
    fn the_number_of_routes_and_the_length_are_limited() {
        let route = |index: usize| json!({"path": format!("/{index}"), "topic": "t"});
        let config = |number| json!({"routes": (0..number).map(route).collect::<Vec<_>>()});
        assert!(Config::parse(&config(ROUTES_MAX).to_string()).is_ok());
        for number in [0, ROUTES_MAX + 1] {
            assert_eq!(Config::parse(&config(number).to_string()).unwrap_err().place, "routes");
        }
        let long = format!("{}{}", config(1), " ".repeat(TEXT_BYTES_MAX));
        assert_eq!(Config::parse(&long).unwrap_err().place, ROUTES_VARIABLE);
        let more = format!("{} x", config(1));
        assert_eq!(Config::parse(&more).unwrap_err().place, ROUTES_VARIABLE);
    }
}
