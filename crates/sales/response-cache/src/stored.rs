//! A stored response.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{
    AGE, CONNECTION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE,
    CONTENT_TYPE, DATE, ETAG, EXPIRES, LAST_MODIFIED, PROXY_AUTHENTICATE, SET_COOKIE,
    TRANSFER_ENCODING, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};

use crate::conditional::{date, is_same_tag, is_unmodified};
use crate::directives::ResponseDirectives;
use crate::key::Variant;
use crate::lookup::Lookup;
use crate::settings::Rules;
use crate::status::{CACHE_STATUS, Status};

/// Maximum number of names in `Vary`.
const VARY_MAX: usize = 16;

/// Bytes that a stored response needs in addition to its headers and its body.
const OVERHEAD_BYTES: usize = 512;

/// Bytes that a header needs in addition to its name and its value.
const FIELD_OVERHEAD_BYTES: usize = 128;

/// The most of the time since the last modification that counts for a heuristic: 10 days.
const HEURISTIC_MS_MAX: u64 = 10 * 86_400_000;

/// Status codes whose responses may be stored without an explicit time (RFC 9110, 15.1), without
/// those of partial content.
const STORED_BY_DEFAULT: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];

/// Status codes whose responses are stored only with an explicit time. All others, such as those for
/// a missing permission or a failure, are not stored.
const STORED_IF_EXPLICIT: [u16; 3] = [302, 303, 307];

/// Fields that are about one exchange.
const NOT_STORED: [HeaderName; 13] = [
    AGE,
    CONNECTION,
    CONTENT_LENGTH,
    TRANSFER_ENCODING,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-authentication-info"),
    HeaderName::from_static("ratelimit"),
    HeaderName::from_static("ratelimit-limit"),
    HeaderName::from_static("ratelimit-policy"),
    HeaderName::from_static("ratelimit-remaining"),
    HeaderName::from_static("ratelimit-reset"),
    HeaderName::from_static("server-timing"),
];

/// Fields that describe the body, which a response 304 does not change.
const ABOUT_BODY: [HeaderName; 5] =
    [CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE];

/// When a request was sent and when its response arrived, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exchange {
    /// When the request was sent.
    pub sent_ms: u64,
    /// When the head of the response arrived.
    pub received_ms: u64,
}

/// A stored response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The status.
    pub status: StatusCode,
    /// The headers, without those of one exchange.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The request headers that the response depends on.
    pub vary: Vec<HeaderName>,
    /// Their values in the request.
    pub variant: Variant,
    /// When it arrived.
    pub received_ms: u64,
    /// Its age at that time.
    pub initial_age_ms: u64,
    pub(crate) policy: Policy,
}

/// What the headers say about the use of a stored response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    pub lifetime_ms: u64,
    /// It is never used without a validation.
    pub is_always_validated: bool,
    /// It is never used when it is stale.
    pub is_never_stale: bool,
    /// A client must not choose to get it when it is stale.
    pub is_shared_lifetime: bool,
    /// It does not depend on the credentials of the request.
    pub is_for_everyone: bool,
    pub stale_while_revalidate_ms: u64,
    pub stale_if_error_ms: u64,
}

impl Stored {
    /// The response to store for this request, with an empty body; `None` if it must not be stored,
    /// or could never be used.
    pub fn new(
        lookup: &Lookup,
        rules: &Rules,
        status: StatusCode,
        headers: &HeaderMap,
        exchange: Exchange,
    ) -> Option<Self> {
        let directives = ResponseDirectives::read(headers);
        let is_forbidden = directives.no_store || directives.private;
        let is_unsuitable =
            [SET_COOKIE, CONTENT_RANGE].iter().any(|name| headers.contains_key(name))
                || is_event_stream(headers);
        // The response to `HEAD` has no body.
        if is_forbidden || is_unsuitable || lookup.is_head {
            return None;
        }
        let is_explicit = directives.public
            || directives.max_age.or(directives.s_maxage).is_some()
            || headers.contains_key(EXPIRES);
        let code = status.as_u16();
        let is_suitable = STORED_BY_DEFAULT.contains(&code)
            || (is_explicit && STORED_IF_EXPLICIT.contains(&code));
        if !is_suitable {
            return None;
        }
        let vary = vary(headers)?;
        let mut kept = headers.clone();
        NOT_STORED.iter().for_each(|name| drop(kept.remove(name)));
        let Exchange { sent_ms, received_ms } = exchange;
        kept.entry(DATE).or_insert_with(|| http_date(received_ms));
        let stored = Self {
            status,
            policy: Policy::new(&directives, &kept, status, received_ms, rules),
            headers: kept,
            body: Bytes::new(),
            variant: lookup.variant(&vary, rules),
            vary,
            received_ms,
            initial_age_ms: initial_age_ms(headers, sent_ms, received_ms),
        };
        (stored.is_for(lookup) && stored.is_useful()).then_some(stored)
    }

    /// A response that another instance has stored; `None` if it is not valid. Its variant is that of
    /// this request, which has selected it.
    pub(crate) fn restored(
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
        (received_ms, initial_age_ms): (u64, u64),
        lookup: &Lookup,
        rules: &Rules,
    ) -> Option<Self> {
        let directives = ResponseDirectives::read(&headers);
        let policy = Policy::new(&directives, &headers, status, received_ms, rules);
        let vary = vary(&headers)?;
        let variant = lookup.variant(&vary, rules);
        Some(Self { status, headers, body, vary, variant, received_ms, initial_age_ms, policy })
    }

    /// The same response with this body.
    pub fn with_body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    /// Whether a request with these credentials may be answered with it (RFC 9111, 3.5, also for
    /// cookies). `must-revalidate`, which the RFC permits, too, does not say that the response is for
    /// everyone.
    pub fn is_for(&self, lookup: &Lookup) -> bool {
        let depends_on_cookie = self.vary.contains(&header::COOKIE);
        self.policy.is_for_everyone
            || (!lookup.has_authorization && (!lookup.has_cookie || depends_on_cookie))
    }

    fn is_useful(&self) -> bool {
        let policy = &self.policy;
        let is_fresh_once = policy.lifetime_ms > self.initial_age_ms && !policy.is_always_validated;
        let has_validator = self.status == StatusCode::OK
            && [ETAG, LAST_MODIFIED].iter().any(|name| self.headers.contains_key(name));
        let is_used_stale = policy.stale_while_revalidate_ms + policy.stale_if_error_ms > 0;
        is_fresh_once || has_validator || is_used_stale
    }

    /// Its age (RFC 9111, 4.2.3).
    pub fn age_ms(&self, now_ms: u64) -> u64 {
        self.initial_age_ms.saturating_add(now_ms.saturating_sub(self.received_ms))
    }

    /// The seconds for which it is fresh; negative if it is stale.
    pub fn ttl_s(&self, now_ms: u64) -> i64 {
        let (lifetime_ms, age_ms) = (self.policy.lifetime_ms, self.age_ms(now_ms));
        match lifetime_ms.checked_sub(age_ms) {
            Some(rest_ms) => i64::try_from(rest_ms / 1_000).unwrap_or(i64::MAX),
            None => -i64::try_from((age_ms - lifetime_ms).div_ceil(1_000)).unwrap_or(i64::MAX),
        }
    }

    /// The milliseconds for which it may still be used, with or without a validation.
    pub fn keep_ms(&self, now_ms: u64) -> u64 {
        let Policy { lifetime_ms, stale_while_revalidate_ms, stale_if_error_ms, .. } = self.policy;
        let stale_ms = stale_while_revalidate_ms.max(stale_if_error_ms).max(VALIDATED_MS);
        lifetime_ms.saturating_add(stale_ms).saturating_sub(self.age_ms(now_ms))
    }

    /// The bytes that it needs.
    pub fn size(&self) -> usize {
        let field = |(name, value): (&HeaderName, &HeaderValue)| {
            FIELD_OVERHEAD_BYTES + name.as_str().len() + value.len()
        };
        let headers: usize = self.headers.iter().map(field).sum();
        OVERHEAD_BYTES + self.body.len() + headers
    }

    /// Whether the response to one request can answer others without a validation.
    pub fn can_be_shared(&self) -> bool {
        self.policy.lifetime_ms > 0 && !self.policy.is_always_validated
    }

    /// The headers with which the component is asked whether it is still valid; none if it cannot be.
    pub fn validators(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.status == StatusCode::OK {
            let pairs = [(ETAG, header::IF_NONE_MATCH), (LAST_MODIFIED, header::IF_MODIFIED_SINCE)];
            for (name, condition) in pairs {
                headers.extend(self.headers.get(name).cloned().map(|value| (condition, value)));
            }
        }
        headers
    }

    /// The response after the component has answered with 304 and these headers (RFC 9111, 3.2 and
    /// 4.3.4); `None` if that answer is about another response.
    pub fn updated(
        &self,
        lookup: &Lookup,
        rules: &Rules,
        headers: &HeaderMap,
        exchange: Exchange,
    ) -> Option<Updated> {
        let (old, new) = (self.headers.get(ETAG), headers.get(ETAG));
        if new.is_some_and(|new| old.is_none_or(|old| !is_same_tag(old.as_bytes(), new.as_bytes())))
        {
            return None;
        }
        let mut merged = self.headers.clone();
        merged.remove(DATE);
        for name in headers.keys().filter(|name| !ABOUT_BODY.contains(name)) {
            merged.remove(name);
            for value in headers.get_all(name) {
                merged.append(name.clone(), value.clone());
            }
        }
        let body = self.body.clone();
        let stored = Self::new(lookup, rules, self.status, &merged, exchange);
        Some(match stored {
            Some(stored) => Updated::Stored(stored.with_body(body)),
            None => Updated::NotStored(self.status, merged, body),
        })
    }

    /// The answer to a request, with `status` in `Cache-Status`.
    pub fn answer(&self, lookup: &Lookup, now_ms: u64, status: Status) -> Response<Bytes> {
        let mut answer = Content { status: self.status, headers: &self.headers, body: &self.body }
            .answer(lookup, Status { ttl_s: Some(self.ttl_s(now_ms)), ..status });
        answer.headers_mut().insert(AGE, (self.age_ms(now_ms) / 1_000).into());
        answer
    }
}

/// Whether the stored response must be removed if the new response has this status and these headers
/// and is not stored. A refusal, or a response that sets a cookie, is about one client: it says
/// nothing about the response for others.
pub fn replaces_stored(status: StatusCode, headers: &HeaderMap) -> bool {
    let is_about_target = status.is_success()
        || (status.is_redirection() && status != StatusCode::NOT_MODIFIED)
        || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE);
    is_about_target && !headers.contains_key(SET_COOKIE)
}

/// How long a response is kept to be validated when it is stale.
const VALIDATED_MS: u64 = 3_600_000;

/// A stored response after an answer 304.
#[derive(Debug)]
pub enum Updated {
    /// It is stored again.
    Stored(Stored),
    /// It must not be stored any more.
    NotStored(StatusCode, HeaderMap, Bytes),
}

/// A complete response.
#[derive(Debug, Clone, Copy)]
pub struct Content<'a> {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: &'a HeaderMap,
    /// The body.
    pub body: &'a Bytes,
}

impl Content<'_> {
    /// Whether the client has the response already, according to the conditions of its request.
    pub fn is_known(self, lookup: &Lookup) -> bool {
        let (etag, modified) = (self.headers.get(ETAG), self.headers.get(LAST_MODIFIED));
        self.status == StatusCode::OK && is_unmodified(&lookup.headers, etag, modified)
    }

    /// The answer to a request: 304 if the client has the response already.
    pub fn answer(self, lookup: &Lookup, status: Status) -> Response<Bytes> {
        let mut answer = Response::new(Bytes::new());
        *answer.headers_mut() = self.headers.clone();
        if self.is_known(lookup) {
            *answer.status_mut() = StatusCode::NOT_MODIFIED;
            ABOUT_BODY.iter().for_each(|name| drop(answer.headers_mut().remove(name)));
        } else {
            *answer.status_mut() = self.status;
            if self.status != StatusCode::NO_CONTENT {
                answer.headers_mut().insert(CONTENT_LENGTH, self.body.len().into());
            }
            if !lookup.is_head {
                *answer.body_mut() = self.body.clone();
            }
        }
        // It consists of words and numbers.
        if let Ok(value) = HeaderValue::try_from(status.to_string()) {
            answer.headers_mut().append(CACHE_STATUS, value);
        }
        answer
    }
}

impl Policy {
    fn new(
        directives: &ResponseDirectives,
        headers: &HeaderMap,
        status: StatusCode,
        received_ms: u64,
        rules: &Rules,
    ) -> Self {
        let received = UNIX_EPOCH + Duration::from_millis(received_ms);
        let lifetime_ms = match directives.s_maxage.or(directives.max_age) {
            Some(seconds) => seconds * 1_000,
            None => match headers.get_all(EXPIRES).iter().collect::<Vec<_>>().as_slice() {
                [] => heuristic_ms(headers, status, received, rules),
                [expires] => {
                    let dated = date(headers.get(DATE)).unwrap_or(received);
                    between_ms(dated, date(Some(expires)).unwrap_or(dated))
                }
                _ => 0,
            },
        };
        let is_never_stale = directives.no_cache || directives.must_revalidate;
        let is_shared_lifetime = directives.s_maxage.is_some();
        // `s-maxage` forbids the use of stale responses, except as the response itself says. What was
        // never fresh may be for one client, although it is not marked.
        let stale_ms = |own: Option<u64>, configured: u64| match own {
            _ if is_never_stale => 0,
            Some(seconds) => seconds * 1_000,
            None if is_shared_lifetime || lifetime_ms == 0 => 0,
            None => configured * 1_000,
        };
        Self {
            lifetime_ms,
            is_always_validated: directives.no_cache,
            is_never_stale,
            is_shared_lifetime,
            is_for_everyone: directives.public || is_shared_lifetime,
            stale_while_revalidate_ms: stale_ms(
                directives.stale_while_revalidate,
                rules.stale_while_revalidate_s,
            ),
            stale_if_error_ms: stale_ms(directives.stale_if_error, rules.stale_if_error_s),
        }
    }
}

fn heuristic_ms(
    headers: &HeaderMap,
    status: StatusCode,
    received: SystemTime,
    rules: &Rules,
) -> u64 {
    let dated = date(headers.get(DATE)).unwrap_or(received);
    match date(headers.get(LAST_MODIFIED)) {
        Some(modified) if STORED_BY_DEFAULT.contains(&status.as_u16()) => {
            between_ms(modified, dated).min(HEURISTIC_MS_MAX) * rules.heuristic_percent / 100
        }
        _ => 0,
    }
}

/// RFC 9111, 4.2.3: `corrected_initial_age`.
fn initial_age_ms(headers: &HeaderMap, sent_ms: u64, received_ms: u64) -> u64 {
    let received = UNIX_EPOCH + Duration::from_millis(received_ms);
    let apparent_ms = date(headers.get(DATE)).map_or(0, |dated| between_ms(dated, received));
    // `Date` has whole seconds, so the exact part of the second is not known.
    let apparent_ms = apparent_ms / 1_000 * 1_000;
    let age = headers.get(AGE).and_then(|value| value.to_str().ok());
    let age_s = age.and_then(|text| text.split(',').next()?.trim().parse::<u32>().ok());
    let age_ms = u64::from(age_s.unwrap_or(0)) * 1_000;
    apparent_ms.max(age_ms + received_ms.saturating_sub(sent_ms))
}

fn between_ms(from: SystemTime, to: SystemTime) -> u64 {
    let between = to.duration_since(from).unwrap_or_default();
    u64::try_from(between.as_millis()).unwrap_or(u64::MAX)
}

fn http_date(ms: u64) -> HeaderValue {
    let text = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_millis(ms));
    // It contains ASCII only.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// The names in `Vary`; `None` if the response depends on more than headers, or on too many.
fn vary(headers: &HeaderMap) -> Option<Vec<HeaderName>> {
    let mut names = Vec::new();
    for line in headers.get_all(VARY) {
        let parts = line.to_str().ok()?.split(',').map(str::trim);
        for name in parts.filter(|name| !name.is_empty()) {
            if name == "*" {
                return None;
            }
            names.push(name.parse().ok()?);
        }
    }
    (names.len() <= VARY_MAX).then_some(names)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let name = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
