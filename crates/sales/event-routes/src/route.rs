//! One route: from a request to events.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use intake::request::{
    IDEMPOTENCY_KEY, TRACEPARENT, check_body, check_many_key, check_media_type, idempotency_key,
    key_of_item, method_not_allowed, traceparent,
};
use intake::{ITEMS_MAX, Problem};
use sale::Violation;
use serde_json::Value;

use crate::ConfigError;
use crate::cloud_event::{CloudEvent, PARTITION_KEY};
use crate::config::{Format, KeyUse, MethodName, RouteConfig, header_name};
use crate::event::{Claim, Event};
use crate::key::KeySource;
use crate::media_type::{CLOUD_EVENT, CLOUD_EVENT_BATCH, essence};
use crate::schema::Schema;
use crate::signature::Signature;
use crate::unique;

/// Maximum length of the headers that are passed on, in bytes, with their names: each event of a batch
/// gets them.
const PASSED_ON_BYTES_MAX: usize = 4 << 10;

/// A route.
pub struct Route {
    topic: String,
    methods: Vec<&'static str>,
    format: Format,
    media_types: Vec<String>,
    body_bytes_max: usize,
    schema: Option<Schema>,
    key: Option<KeySource>,
    headers: Vec<(HeaderName, String)>,
    signature: Option<Signature>,
    idempotency_key: KeyUse,
    answer: Bytes,
}

/// What all events of a request have in common.
#[derive(Clone)]
struct Context {
    idempotency_key: Option<String>,
    headers: Vec<(String, Vec<u8>)>,
}

/// What an event consists of.
struct Content {
    value: Bytes,
    json: Option<Value>,
    cloud_event: Option<CloudEvent>,
}

impl Content {
    fn of_cloud_event(event: CloudEvent) -> Result<Self, Violation> {
        Ok(Self { value: event.data.clone(), json: event.json()?, cloud_event: Some(event) })
    }

    /// What an idempotency key belongs to: the key of the record, the attributes of a CloudEvent,
    /// and the value. Each part follows its length, so that different contents differ in bytes.
    fn claimed(&self, key: Option<&[u8]>) -> Vec<u8> {
        let mut content = vec![u8::from(key.is_some())];
        let mut push = |part: &[u8]| {
            content.extend((part.len() as u64).to_be_bytes());
            content.extend_from_slice(part);
        };
        push(key.unwrap_or_default());
        for (name, text) in self.attributes() {
            push(name.as_bytes());
            push(&text);
        }
        push(&self.value);
        content
    }

    /// The attributes of a CloudEvent, as headers of the record.
    fn attributes(&self) -> Vec<(String, Vec<u8>)> {
        self.cloud_event.as_ref().map(CloudEvent::record_headers).unwrap_or_default()
    }
}

impl Route {
    pub(crate) fn compile(
        config: RouteConfig,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let schema = config.schema.as_ref().map(Schema::compile).transpose();
        let signature = config.signature.map(|signature| Signature::new(signature, secrets));
        let headers = config.headers.into_iter();
        let mut media_types = config.media_types;
        if config.format == Format::Cloudevents {
            // The attributes of the binary mode are headers, which no signature covers.
            if signature.is_some() {
                media_types.clear();
            }
            media_types.extend([CLOUD_EVENT, CLOUD_EVENT_BATCH].map(Into::into));
        }
        Ok(Self {
            topic: config.topic,
            methods: config.methods.into_iter().map(MethodName::as_str).collect(),
            format: config.format,
            media_types,
            body_bytes_max: config.body_bytes_max,
            schema: schema.map_err(|reason| ConfigError::new("schema", reason))?,
            key: config.key,
            headers: headers
                .map(|(from, to)| Ok((header_name(&from)?, to)))
                .collect::<Result<_, _>>()?,
            signature: signature.transpose()?,
            idempotency_key: config.idempotency_key,
            answer: config.answer.to_string().into(),
        })
    }

    /// The topic of the records.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// Maximum length of a body, in bytes.
    pub fn body_bytes_max(&self) -> usize {
        self.body_bytes_max
    }

    /// The body of a successful answer, in JSON.
    pub fn answer(&self) -> Bytes {
        self.answer.clone()
    }

    /// The value of the header `Allow`.
    pub fn allowed_methods(&self) -> Option<HeaderValue> {
        self.methods.join(", ").parse().ok()
    }

    /// Checks everything that is known before the body is read.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
        if !self.methods.contains(&method.as_str()) {
            return Err(method_not_allowed(&self.methods));
        }
        // A CloudEvent in the binary mode may have no data, and then no media type.
        let needs_media_type = self.format != Format::Cloudevents || self.signature.is_some();
        if needs_media_type || headers.contains_key(header::CONTENT_TYPE) {
            check_media_type(headers, &self.media_types)?;
        }
        check_body(headers, self.body_bytes_max)
    }

    /// Returns the events of a request that [`Route::check`] has accepted. `now_s` is the time in
    /// seconds since 1970. All events are valid, or none is returned.
    pub fn events(
        &self,
        headers: &HeaderMap,
        body: Bytes,
        now_s: u64,
    ) -> Result<Vec<Event>, Problem> {
        // Nothing of a body is read before its signature has been checked.
        if let Some(signature) = &self.signature {
            signature.verify(headers, &body, now_s)?;
        }
        let context = self.context(headers)?;
        let json = match self.format {
            Format::Cloudevents => return self.cloud_events(headers, context, body),
            Format::Bytes => None,
            Format::Json => Some(
                unique::parse(&body)
                    .map_err(|e| Violation::new("body", format!("must be JSON: {e}")))?,
            ),
        };
        let content = Content { value: body, json, cloud_event: None };
        Ok(vec![self.event(headers, context, content)?])
    }

    fn context(&self, headers: &HeaderMap) -> Result<Context, Problem> {
        let use_of_key = &self.idempotency_key;
        let key = idempotency_key(headers, &use_of_key.header)?;
        if key.is_none() && use_of_key.required {
            return Err(Violation::new(use_of_key.header.clone(), "is required").into());
        }
        let mut passed_on = Vec::new();
        for (from, to) in &self.headers {
            let values = headers.get_all(from).iter();
            passed_on.extend(values.map(|value| (to.clone(), value.as_bytes().to_vec())));
        }
        let length: usize = passed_on.iter().map(|(name, value)| name.len() + value.len()).sum();
        if length > PASSED_ON_BYTES_MAX {
            let reason = format!(
                "the headers that are passed on must have at most {PASSED_ON_BYTES_MAX} bytes"
            );
            return Err(Violation::new("headers", reason).into());
        }
        if let Some(traceparent) = traceparent(headers) {
            passed_on.push((TRACEPARENT.into(), traceparent.into_bytes()));
        }
        Ok(Context { idempotency_key: key, headers: passed_on })
    }

    fn cloud_events(
        &self,
        headers: &HeaderMap,
        context: Context,
        body: Bytes,
    ) -> Result<Vec<Event>, Problem> {
        let content_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = essence(content_type.unwrap_or_default());
        if essence.eq_ignore_ascii_case(CLOUD_EVENT_BATCH) {
            return self.batch(headers, &context, &body);
        }
        let event = if essence.eq_ignore_ascii_case(CLOUD_EVENT) {
            CloudEvent::from_json(&body)?
        } else {
            CloudEvent::from_binary(headers, body)?
        };
        Ok(vec![self.event(headers, context, Content::of_cloud_event(event)?)?])
    }

    fn batch(
        &self,
        headers: &HeaderMap,
        context: &Context,
        body: &[u8],
    ) -> Result<Vec<Event>, Problem> {
        if let Some(key) = &context.idempotency_key {
            check_many_key(&self.idempotency_key.header, key)?;
        }
        let item = |(index, json)| {
            let mut context = context.clone();
            context.idempotency_key = context.idempotency_key.map(|key| key_of_item(&key, index));
            let content = CloudEvent::from_json(json).and_then(Content::of_cloud_event);
            let event = content.and_then(|content| self.event(headers, context, content));
            event.map_err(|Violation { field, reason }| {
                Violation::new(format!("[{index}].{field}"), reason).into()
            })
        };
        CloudEvent::split_batch(body, ITEMS_MAX)?.into_iter().enumerate().map(item).collect()
    }

    fn event(
        &self,
        headers: &HeaderMap,
        context: Context,
        content: Content,
    ) -> Result<Event, Violation> {
        let (json, cloud_event) = (content.json.as_ref(), content.cloud_event.as_ref());
        if let Some(schema) = &self.schema {
            let json = json.ok_or_else(|| Violation::new("data", "must be JSON"))?;
            schema.check(json, content.value.len())?;
        }
        let record_key = match &self.key {
            Some(source) => Some(source.find(headers, json, cloud_event)?),
            None => cloud_event
                .and_then(|event| event.attribute(PARTITION_KEY))
                .map(|key| key.as_bytes().to_vec()),
        };
        let mut record_headers = content.attributes();
        record_headers.extend(context.headers);
        let mut claim = None;
        if let Some(key) = context.idempotency_key {
            record_headers.push((IDEMPOTENCY_KEY.into(), key.clone().into_bytes()));
            let content = || content.claimed(record_key.as_deref());
            claim = self.idempotency_key.claim.then(|| Claim { key, content: content() });
        }
        Ok(Event { key: record_key, value: content.value, headers: record_headers, claim })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{Config, Routes};

    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn routes(route: Value) -> Routes {
        let mut fields = json!({"path": "/orders", "topic": "orders"});
        fields.as_object_mut().unwrap().extend(route.as_object().unwrap().clone());
        let config = Config::parse(&json!({ "routes": [fields] }).to_string()).unwrap();
        let secrets = [("secret".to_owned(), "0123456789abcdef".to_owned())].into();
        Routes::compile(config, &secrets).unwrap()
    }

    /// Sends a request as the component does.
    fn post(
        routes: &Routes,
        headers: &[(&'static str, &str)],
        body: &str,
    ) -> Result<Vec<Event>, Problem> {
        let headers: HeaderMap =
            headers.iter().map(|(k, v)| (k.parse().unwrap(), v.parse().unwrap())).collect();
        let route = routes.find("/orders").unwrap();
        route.check(&Method::POST, &headers)?;
        route.events(&headers, body.to_owned().into(), 0)
    }

    fn header(name: &str, value: &str) -> (String, Vec<u8>) {
        (name.into(), value.into())
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    #[test]
    fn a_body_becomes_a_record_without_a_change() {
        let routes = routes(json!({
            "schema": {"required": ["id"]},
            "key": {"pointer": "/id"},
            "headers": {"X-Tenant": "tenant"},
            "idempotency_key": {"claim": true}
        }));
        let more = [("x-tenant", "t"), ("x-other", "o"), ("traceparent", TRACE)];
        let key = [JSON, ("idempotency-key", "\"k\"")];
        let body = "{ \"id\" : 7 }";
        let events = post(&routes, &[&key[..], &more].concat(), body).unwrap();
        let expected = Event {
            key: Some(b"7".to_vec()),
            value: body.into(),
            headers: vec![
                header("tenant", "t"),
                header("traceparent", TRACE),
                header("idempotency-key", "k"),
            ],
            claim: events[0].claim.clone(),
        };
        assert_eq!(events, [expected]);
        assert_eq!(events[0].claim.as_ref().unwrap().key, "k");
        let long = "x".repeat(PASSED_ON_BYTES_MAX);
        let problem = post(&routes, &[JSON, ("x-tenant", &long)], body).unwrap_err();
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some("headers")));
    }

    #[test]
    fn problems_have_a_status_and_a_field() {
        let routes = routes(json!({
            "schema": {"properties": {"id": {"type": "string"}}},
            "key": {"pointer": "/id"},
            "body_bytes_max": 20,
            "idempotency_key": {"header": "X-Delivery", "required": true}
        }));
        let delivery = ("x-delivery", "1");
        for (headers, body, status, field) in [
            (&[JSON, delivery][..], r#"{"id":"a"}"#, 200, ""),
            (&[JSON, delivery], r#"{"id":1}"#, 400, "id"),
            (&[JSON, delivery], "{}", 400, "id"),
            (&[JSON, delivery], "{", 400, "body"),
            (&[JSON], r#"{"id":"a"}"#, 400, "X-Delivery"),
            (&[("content-type", "text/plain"), delivery], "{}", 415, "content-type"),
            (&[delivery], "{}", 415, "content-type"),
            (&[JSON, delivery, ("content-encoding", "gzip")], "{}", 415, "content-encoding"),
            (&[JSON, delivery, ("content-length", "21")], "{}", 413, "body"),
        ] {
            let answer = post(&routes, headers, body).map_err(|p| (p.status, p.field.unwrap()));
            let answer = answer.map_or_else(
                |(status, field)| (status, field.into_owned()),
                |_| (200, String::new()),
            );
            assert_eq!(answer, (status, field.to_owned()), "{headers:?} {body}");
        }
    }

    #[test]
    fn a_repeated_member_does_not_bypass_the_schema() {
        let routes = routes(json!({"schema": {"properties": {"n": {"maximum": 9}}}}));
        let problem = post(&routes, &[JSON], r#"{"n":10,"n":1}"#).unwrap_err();
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some("body")));
        assert!(problem.detail.contains("`n`"), "{}", problem.detail);
    }

    #[test]
    fn different_contents_have_different_claims() {
        let claim = |routes: &Routes, headers: &[(&'static str, &str)], body: &str| {
            let headers = [&[("idempotency-key", "k")], headers].concat();
            post(routes, &headers, body).unwrap().remove(0).claim.unwrap().content
        };
        let keyed = routes(json!({
            "key": {"header": "x-key"}, "idempotency_key": {"claim": true}
        }));
        let of_key = |key| claim(&keyed, &[JSON, ("x-key", key)], "{}");
        assert_eq!(of_key("a"), of_key("a"));
        assert_ne!(of_key("a"), of_key("b"));
        let events = routes(json!({"format": "cloudevents", "idempotency_key": {"claim": true}}));
        let event = |subject: &str, data: &str| {
            let required =
                [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
            claim(&events, &[&required[..], &[("ce-zone", subject)]].concat(), data)
        };
        assert_ne!(event("a", "b=c"), event("ab", "=c"));
        assert_ne!(event("a", ""), event("", "a"));
    }

    #[test]
    fn only_the_methods_of_the_route() {
        let routes = routes(json!({"methods": ["PUT", "POST"]}));
        let route = routes.find("orders/").unwrap();
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        assert_eq!(route.check(&Method::PUT, &headers), Ok(()));
        assert_eq!(route.check(&Method::GET, &headers).unwrap_err().status, 405);
        assert_eq!(route.allowed_methods().unwrap(), "POST, PUT");
        assert!(routes.find("/other").is_none());
    }

    #[test]
    fn any_bytes_with_a_key_from_a_header() {
        let routes = routes(json!({
            "format": "bytes", "media_types": ["text/csv"], "key": {"header": "x-key"}
        }));
        let events = post(&routes, &[("content-type", "text/csv"), ("x-key", "k")], "a;b").unwrap();
        assert_eq!(
            (events[0].key.as_deref(), &events[0].value[..]),
            (Some(&b"k"[..]), &b"a;b"[..])
        );
        assert_eq!(events[0].claim, None);
    }

    #[test]
    fn the_signature_is_checked_before_the_body_is_read() {
        let routes = routes(json!({"signature": {"body": {"header": "x", "secrets": ["secret"]}}}));
        assert_eq!(post(&routes, &[JSON, ("x", "00")], "no JSON").unwrap_err().status, 401);
        assert_eq!(post(&routes, &[JSON], "{}").unwrap_err().field.as_deref(), Some("x"));
    }

    #[test]
    fn signed_cloud_events_are_not_binary() {
        let signature = json!({"body": {"header": "x", "secrets": ["secret"]}});
        let routes = routes(json!({"format": "cloudevents", "signature": signature}));
        let binary =
            [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t")];
        for headers in [&binary[..], &[&binary[..], &[JSON]].concat()] {
            assert_eq!(post(&routes, headers, "{}").unwrap_err().status, 415);
        }
        for accepted in [CLOUD_EVENT, CLOUD_EVENT_BATCH] {
            let headers = [("content-type", accepted), ("x", "00")];
            assert_eq!(post(&routes, &headers, EVENT).unwrap_err().status, 401);
        }
    }

    const EVENT: &str = r#"{"specversion":"1.0","id":"1","source":"/s","type":"t","data":{"n":1}}"#;

    #[test]
    fn cloud_events_one_by_one_and_in_batches() {
        let routes = routes(json!({
            "format": "cloudevents",
            "schema": {"properties": {"n": {"type": "integer"}}},
            "key": {"attribute": "id"},
            "idempotency_key": {"claim": true}
        }));
        let key = ("idempotency-key", "k");
        let one = post(&routes, &[("content-type", CLOUD_EVENT), key], EVENT).unwrap();
        let headers = [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            key,
        ];
        assert_eq!(post(&routes, &headers, r#"{"n":1}"#).unwrap(), one);
        assert_eq!(
            (one[0].key.as_deref(), &one[0].value[..]),
            (Some(&b"1"[..]), &br#"{"n":1}"#[..])
        );
        assert!(one[0].headers.contains(&header("ce_type", "t")));

        let batch = [("content-type", CLOUD_EVENT_BATCH), key];
        let other = EVENT.replace(r#""id":"1""#, r#""id":"2""#);
        let two = post(&routes, &batch, &format!("[{EVENT},{other}]")).unwrap();
        assert_eq!(two.len(), 2);
        assert!(two[1].headers.contains(&header("idempotency-key", "k:1")));
        assert_ne!(two[0].claim.as_ref().unwrap().content, two[1].claim.as_ref().unwrap().content);
        let wrong = EVENT.replace("{\"n\":1}", "{\"n\":\"x\"}");
        let problem = post(&routes, &batch, &format!("[{EVENT},{wrong}]")).unwrap_err();
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some("[1].n")));
    }

    #[test]
    fn a_cloud_event_without_data_or_key() {
        let routes = routes(json!({"format": "cloudevents"}));
        let headers = [
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/s"),
            ("ce-type", "t"),
            ("ce-partitionkey", "p"),
        ];
        let events = post(&routes, &headers, "").unwrap();
        assert_eq!((events[0].key.as_deref(), &events[0].value[..]), (Some(&b"p"[..]), &b""[..]));
        assert_eq!(post(&routes, &headers[..4], "").unwrap()[0].key, None);
        assert_eq!(post(&routes, &[JSON], "{}").unwrap_err().field.as_deref(), Some("specversion"));
    }

    #[test]
    fn a_schema_that_does_not_compile_names_its_route() {
        let text = json!({"routes": [{"path": "/a", "topic": "t", "schema": {"type": "x"}}]});
        let config = Config::parse(&text.to_string()).unwrap();
        let error = Routes::compile(config, &BTreeMap::new()).err().unwrap();
        assert_eq!(error.place, "routes[0] (`/a`).schema");
    }
}
