//! One route: from a request to events.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use intake::hop_times::HopTimer;
use intake::request::{check_body, check_media_type, method_not_allowed};
use intake::{ITEMS_MAX, Problem};
use sale::Violation;
use serde_json::Value;

use crate::cloud_event::{CloudEvent, PARTITION_KEY};
use crate::config::{Format, KeyUse, MethodName, RouteConfig, header_name};
use crate::content::Content;
use crate::event::{Claim, Event};
use crate::key::{Json, KeySource};
use crate::media_type::{CLOUD_EVENT, CLOUD_EVENT_BATCH, essence};
use crate::object::{FieldConfig, Shape};
use crate::schema::Schema;
use crate::signature::Signature;
use crate::unique;
use crate::{ConfigError, Context};

/// A route.
pub struct Route {
    topic: String,
    methods: Vec<&'static str>,
    format: Format,
    media_types: Vec<String>,
    body_bytes_max: usize,
    pub(crate) batch_bytes_max: usize,
    schema: Option<Schema>,
    object: Option<Typed>,
    key: Option<KeySource>,
    headers: Vec<(HeaderName, String)>,
    signature: Option<Signature>,
    pub(crate) idempotency_key: KeyUse,
    answer: Value,
    answer_json: Bytes,
    server_timing: Option<String>,
}

/// An object with typed fields.
struct Typed {
    shape: Shape,
    /// The place of the record's key, if it is in the object.
    key_place: Vec<usize>,
}

impl Typed {
    fn compile(fields: Vec<FieldConfig>, key: Option<&KeySource>) -> Result<Self, ConfigError> {
        let shape = Shape::compile(fields)?;
        let key_place = match key {
            Some(KeySource::Pointer(pointer)) => shape.key_place(pointer).ok_or_else(|| {
                let reason = "must point to a field with a string or an integer";
                ConfigError::new("key.pointer", reason)
            })?,
            _ => Vec::new(),
        };
        Ok(Self { shape, key_place })
    }

    fn read(&self, json: &[u8]) -> Result<Content, Violation> {
        let object = self.shape.parse(json)?;
        let key = object.key(&self.key_place);
        let value = object.to_json().into();
        Ok(Content { value, json: Json::Typed { key }, cloud_event: None })
    }
}

impl Route {
    pub(crate) fn compile(
        config: RouteConfig,
        secrets: &BTreeMap<String, String>,
    ) -> Result<Self, ConfigError> {
        let schema = config.schema.as_ref().map(Schema::compile).transpose();
        let object = config.fields.map(|fields| Typed::compile(fields, config.key.as_ref()));
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
            batch_bytes_max: config.batch.map_or(0, |batch| batch.body_bytes_max),
            object: object.transpose()?,
            schema: schema.map_err(|reason| ConfigError::new("schema", reason))?,
            key: config.key,
            headers: headers
                .map(|(from, to)| Ok((header_name(&from)?, to)))
                .collect::<Result<_, _>>()?,
            signature: signature.transpose()?,
            idempotency_key: config.idempotency_key,
            answer_json: config.answer.to_string().into(),
            answer: config.answer,
            server_timing: config.server_timing,
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
    pub fn answer_json(&self) -> Bytes {
        self.answer_json.clone()
    }

    /// The same as a value, for each accepted event of a batch.
    pub fn answer(&self) -> &Value {
        &self.answer
    }

    /// Measures the time of this hop, if the route reports it and the trace is sampled.
    pub fn timer(&self, context: &Context) -> Option<HopTimer<'_>> {
        self.server_timing.as_deref().map(|hop| context.timer(hop))
    }

    /// The value of the header `Allow`.
    pub fn allowed_methods(&self) -> Option<HeaderValue> {
        self.methods.join(", ").parse().ok()
    }

    /// Checks everything that is known before the body is read.
    pub fn check(&self, method: &Method, headers: &HeaderMap) -> Result<Context, Problem> {
        self.check_method(method)?;
        // A CloudEvent in the binary mode may have no data, and then no media type.
        let needs_media_type = self.format != Format::Cloudevents || self.signature.is_some();
        if needs_media_type || headers.contains_key(header::CONTENT_TYPE) {
            check_media_type(headers, &self.media_types)?;
        }
        check_body(headers, self.body_bytes_max)?;
        self.context(headers)
    }

    pub(crate) fn check_method(&self, method: &Method) -> Result<(), Problem> {
        if self.methods.contains(&method.as_str()) {
            return Ok(());
        }
        Err(method_not_allowed(&self.methods))
    }

    pub(crate) fn context(&self, headers: &HeaderMap) -> Result<Context, Problem> {
        Context::read(headers, &self.idempotency_key, &self.headers)
    }

    /// Nothing of a body is read before its signature has been checked.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        now_s: u64,
    ) -> Result<(), Problem> {
        self.signature.as_ref().map_or(Ok(()), |it| it.verify(headers, body, now_s))
    }

    /// Returns the events of a request that [`Route::check`] has accepted. `now_s` is the time in
    /// seconds since 1970. All events are valid, or none is returned.
    pub fn events(
        &self,
        context: Context,
        headers: &HeaderMap,
        body: Bytes,
        now_s: u64,
    ) -> Result<Vec<Event>, Problem> {
        self.verify(headers, &body, now_s)?;
        let content = match self.format {
            Format::Cloudevents => return self.cloud_events(headers, context, body),
            Format::Bytes => Content { value: body, json: Json::None, cloud_event: None },
            Format::Json => self.json(body)?,
        };
        Ok(vec![self.event(headers, context, content)?])
    }

    /// The content of a body in JSON.
    pub(crate) fn json(&self, body: Bytes) -> Result<Content, Violation> {
        if let Some(object) = &self.object {
            return object.read(&body);
        }
        let json = unique::parse(&body)
            .map_err(|e| Violation::new("body", format!("must be JSON: {e}")))?;
        Ok(Content { value: body, json: Json::Any(json), cloud_event: None })
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
        context.check_many_key(&self.idempotency_key)?;
        let item = |(index, json)| {
            let content = CloudEvent::from_json(json).and_then(Content::of_cloud_event);
            let event =
                content.and_then(|content| self.event(headers, context.for_item(index), content));
            event.map_err(|Violation { field, reason }| {
                Violation::new(format!("[{index}].{field}"), reason).into()
            })
        };
        CloudEvent::split_batch(body, ITEMS_MAX)?.into_iter().enumerate().map(item).collect()
    }

    pub(crate) fn event(
        &self,
        headers: &HeaderMap,
        context: Context,
        content: Content,
    ) -> Result<Event, Violation> {
        let cloud_event = content.cloud_event.as_ref();
        if let Some(schema) = &self.schema {
            let Json::Any(json) = &content.json else {
                return Err(Violation::new("data", "must be JSON"));
            };
            schema.check(json, content.value.len())?;
        }
        let record_key = match &self.key {
            Some(source) => Some(source.find(headers, &content.json, cloud_event)?),
            None => cloud_event
                .and_then(|event| event.attribute(PARTITION_KEY))
                .map(|key| key.as_bytes().to_vec()),
        };
        let mut record_headers = content.attributes();
        let (idempotency_key, of_context) = context.into_headers();
        record_headers.extend(of_context);
        let claim = idempotency_key.filter(|_| self.idempotency_key.claim).map(|key| Claim {
            key,
            content: content.claimed(self.key.as_ref(), record_key.as_deref()),
        });
        Ok(Event { key: record_key, value: content.value, headers: record_headers, claim })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::context::PASSED_ON_BYTES_MAX;
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
        let route = routes.find("/orders").unwrap().route();
        let context = route.check(&Method::POST, &headers)?;
        route.events(context, &headers, body.to_owned().into(), 0)
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
                header("idempotency-key", "k"),
                header("traceparent", TRACE),
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
        let route = routes.find("orders/").unwrap().route();
        let headers =
            HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        assert!(route.check(&Method::PUT, &headers).is_ok());
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
