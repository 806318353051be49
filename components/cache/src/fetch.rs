//! Gets a response from the component behind, and stores it.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use guest_http::{Answer, FullBody, NextResponse, Outcome, Received, Repeatable};
use http::{HeaderMap, Response as HttpResponse, StatusCode, header};
use response_cache::{Alike, Content, Exchange, Lookup, Status, Stored, Updated, replaces_stored};
use spin_sdk::wasip3::http::types::ErrorCode;

use crate::answer::{append_status, complete, with_status};
use crate::store::{NO_VERSION, Store};

/// A request to the component behind.
pub struct Fetch {
    pub store: &'static Store,
    pub lookup: Rc<Lookup>,
    /// The stored response to validate.
    pub stored: Option<Rc<Stored>>,
    /// The version of the target, before the request was sent.
    pub version: u64,
    pub status: Status,
    /// What others have in common that may wait for the response.
    pub alike: Alike,
}

/// The time in milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A response whose body is not read yet.
struct Arrived {
    response: NextResponse,
    head: HttpResponse<()>,
    exchange: Exchange,
}

impl Fetch {
    /// Whether the response to another request that is like this one can answer it.
    pub fn may_wait(&self) -> bool {
        self.version != NO_VERSION
            && self.lookup.accepts_shared()
            && self.stored.as_ref().is_none_or(|stored| stored.can_be_shared())
            && !self.is_not_stored()
    }

    /// Whether the response is not expected to be stored.
    fn is_not_stored(&self) -> bool {
        self.stored.is_none() && self.store.is_not_stored(&self.alike, unix_ms())
    }

    /// Sends the request, and returns the answer to it.
    pub async fn run(self, request: &mut Repeatable) -> Result<Outcome, ErrorCode> {
        let conditions = self.stored.as_ref().map(|stored| stored.validators());
        let conditions = conditions.unwrap_or_default();
        // What is not stored is validated by the client. A complete response can be stored in any case.
        let replacement = (!self.is_not_stored()).then_some(&conditions);
        let received = match send_on(request, replacement).await {
            Ok(received) => received,
            Err(error) => return self.stale_answer(None).map(Outcome::from).ok_or(error),
        };
        let status = received.head.status();
        if is_failure(status)
            && let Some(answer) = self.stale_answer(Some(status))
        {
            return Ok(answer.into());
        }
        if status == StatusCode::NOT_MODIFIED && !conditions.is_empty() {
            if let Some(answer) = self.unmodified(&received).await {
                return Ok(answer.into());
            }
            // The answer is not about the stored response, so the complete one is needed.
            let received = send_on(request, Some(&HeaderMap::new())).await?;
            return self.complete(received).await;
        }
        self.complete(received).await
    }

    /// The stored response, if it may be used after this failure.
    fn stale_answer(&self, failure: Option<StatusCode>) -> Option<Answer> {
        let now = unix_ms();
        let stored = self.stored.as_ref()?;
        let status = Status { forwarded_status: failure.map(|s| s.as_u16()), ..self.status };
        self.lookup
            .is_answer_after_error(stored, now)
            .then(|| complete(stored.answer(&self.lookup, now, status)))
    }

    /// The answer after 304; `None` if that is about another response.
    async fn unmodified(&self, received: &Arrived) -> Option<Answer> {
        let (store, rules) = (self.store, &self.store.config.rules);
        let stored = self.stored.as_ref()?;
        let headers = received.head.headers();
        let status = Status { forwarded_status: Some(304), ..self.status };
        Some(match stored.updated(&self.lookup, rules, headers, received.exchange)? {
            Updated::Stored(renewed) => {
                let renewed = Rc::new(renewed);
                let is_stored = store.store(&self.lookup.key, &renewed, self.version).await;
                complete(renewed.answer(&self.lookup, unix_ms(), Status { is_stored, ..status }))
            }
            Updated::NotStored(code, headers, body) => {
                if replaces_stored(code, &headers) {
                    store.remove(&self.lookup.key, stored).await;
                }
                let content = Content { status: code, headers: &headers, body: &body };
                complete(content.answer(&self.lookup, status))
            }
        })
    }

    /// The answer with a complete response, which is stored if that is permitted.
    async fn complete(self, received: Arrived) -> Result<Outcome, ErrorCode> {
        let Arrived { response, head, exchange } = received;
        let (store, config, lookup) = (self.store, &self.store.config, &self.lookup);
        let (code, headers) = (head.status(), head.headers());
        let Some(stored) = Stored::new(lookup, &config.rules, code, headers, exchange) else {
            self.forget(&head).await;
            return self.pass_on(response, &head);
        };
        let announced = response.length(headers).and_then(|length| usize::try_from(length).ok());
        let bytes = announced.unwrap_or(usize::MAX).min(config.entry_bytes_max);
        let Some(_receiving) = store.receive(bytes) else {
            return self.pass_on(response, &head);
        };
        match response.receive(headers, config.entry_bytes_max).await? {
            Received::Complete(body) if body.trailers.is_empty() => {
                let stored = Rc::new(stored.with_body(body.data));
                let is_stored = store.store(&lookup.key, &stored, self.version).await;
                let status = Status { is_stored, ..self.status };
                Ok(complete(stored.answer(lookup, unix_ms(), status)).into())
            }
            Received::Complete(body) => {
                self.forget(&head).await;
                Ok(whole(&head, body, self.status).into())
            }
            Received::TooLong(response) => {
                self.forget(&head).await;
                self.pass_on(response, &head)
            }
        }
    }

    /// The answer with a complete response that is not stored. The conditions of the client may not have
    /// been sent.
    fn pass_on(
        &self,
        response: NextResponse,
        head: &HttpResponse<()>,
    ) -> Result<Outcome, ErrorCode> {
        let body = Bytes::new();
        let content = Content { status: head.status(), headers: head.headers(), body: &body };
        if content.is_known(&self.lookup) {
            return Ok(complete(content.answer(&self.lookup, self.status)).into());
        }
        Ok(with_status(response, head, self.status)?.into())
    }

    /// Notes that this response is not stored, and removes an earlier one if it must not be used any
    /// more.
    async fn forget(&self, head: &HttpResponse<()>) {
        let (store, status) = (self.store, head.status());
        if let Some(stored) = &self.stored
            && replaces_stored(status, head.headers())
        {
            store.remove(&self.lookup.key, stored).await;
        }
        // Other requests need not be refused, and a client has stored what is not modified.
        let is_complete = status.is_success() || status.is_redirection();
        if is_complete && status != StatusCode::NOT_MODIFIED {
            store.note_not_stored(&self.alike, unix_ms());
        }
    }
}

/// A response with trailers as it is.
fn whole(head: &HttpResponse<()>, body: FullBody, status: Status) -> Answer {
    let mut answer = Answer::new(body);
    *answer.status_mut() = head.status();
    *answer.headers_mut() = head.headers().clone();
    append_status(answer.headers_mut(), status);
    answer
}

/// Sends the request, with these conditions in place of its own if there are some, so that the response
/// can be stored.
async fn send_on(
    request: &mut Repeatable,
    conditions: Option<&HeaderMap>,
) -> Result<Arrived, ErrorCode> {
    if let Some(conditions) = conditions {
        request.replace(&[header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE], conditions)?;
    }
    let sent_ms = unix_ms();
    let response = request.send().await?;
    let exchange = Exchange { sent_ms, received_ms: unix_ms() };
    Ok(Arrived { head: response.head()?, response, exchange })
}

/// Whether the component behind could not handle the request (RFC 5861, 4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
