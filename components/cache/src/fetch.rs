//! Gets a response from the component behind, and stores it.

use std::rc::Rc;
use std::time::{SystemTime, UNIX_EPOCH};

use guest_http::{FullBody, Outline, Received, next, receive_response, response_head, send_answer};
use http::{HeaderMap, Response as HttpResponse, StatusCode, header};
use response_cache::{Content, Exchange, Lookup, Status, Stored, Updated};
use spin_sdk::wasip3::http::types::{ErrorCode, HeaderError, Response};

use crate::answer::{append_status, send, with_status};
use crate::store::Store;

/// A request to the component behind.
pub struct Fetch {
    pub store: &'static Store,
    pub lookup: Rc<Lookup>,
    /// The stored response to validate.
    pub stored: Option<Rc<Stored>>,
    /// The version of the target, before the request was sent.
    pub version: u64,
    pub status: Status,
}

/// The time in milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A response whose body is not read yet.
struct Arrived {
    response: Response,
    head: HttpResponse<()>,
    exchange: Exchange,
}

impl Fetch {
    /// Sends the request, and returns the answer to it.
    pub async fn run(self, outline: &Outline) -> Result<Response, ErrorCode> {
        let conditions = self.stored.as_ref().map(|stored| stored.validators());
        let conditions = conditions.unwrap_or_default();
        let received = match send_on(outline, &conditions).await {
            Ok(received) => received,
            Err(error) => return self.stale_answer(None).unwrap_or(Err(error)),
        };
        let status = received.head.status();
        if is_failure(status)
            && let Some(answer) = self.stale_answer(Some(status))
        {
            return answer;
        }
        if status == StatusCode::NOT_MODIFIED && !conditions.is_empty() {
            if let Some(answer) = self.unmodified(&received).await {
                return answer;
            }
            // The answer is not about the stored response, so the complete one is needed.
            let received = send_on(outline, &HeaderMap::new()).await?;
            return self.complete(received).await;
        }
        self.complete(received).await
    }

    /// The stored response, if it may be used after this failure.
    fn stale_answer(&self, failure: Option<StatusCode>) -> Option<Result<Response, ErrorCode>> {
        let now = now_ms();
        let stored = self.stored.as_ref()?;
        let status = Status { forwarded_status: failure.map(|s| s.as_u16()), ..self.status };
        self.lookup
            .is_answer_after_error(stored, now)
            .then(|| send(stored.answer(&self.lookup, now, status)))
    }

    /// The answer after 304; `None` if that is about another response.
    async fn unmodified(&self, received: &Arrived) -> Option<Result<Response, ErrorCode>> {
        let (store, rules) = (self.store, &self.store.config.rules);
        let stored = self.stored.as_ref()?;
        let headers = received.head.headers();
        let status = Status { forwarded_status: Some(304), ..self.status };
        Some(match stored.updated(&self.lookup, rules, headers, received.exchange)? {
            Updated::Stored(renewed) => {
                let renewed = Rc::new(renewed);
                let is_stored = store.store(&self.lookup.key, &renewed, self.version).await;
                send(renewed.answer(&self.lookup, now_ms(), Status { is_stored, ..status }))
            }
            Updated::NotStored(code, headers, body) => {
                store.remove(&self.lookup.key, stored).await;
                let content = Content { status: code, headers: &headers, body: &body };
                send(content.answer(&self.lookup, status))
            }
        })
    }

    /// The answer with a complete response, which is stored if that is permitted.
    async fn complete(self, received: Arrived) -> Result<Response, ErrorCode> {
        let Arrived { response, head, exchange } = received;
        let (store, config, lookup) = (self.store, &self.store.config, &self.lookup);
        let (code, headers) = (head.status(), head.headers());
        let Some(stored) = Stored::new(lookup, &config.rules, code, headers, exchange) else {
            if !is_failure(code) {
                self.forget().await;
            }
            return with_status(response, &head, self.status);
        };
        match receive_response(response, headers, config.entry_bytes_max).await? {
            Received::Complete(body) if body.trailers.is_empty() => {
                let stored = Rc::new(stored.with_body(body.data));
                let is_stored = store.store(&lookup.key, &stored, self.version).await;
                send(stored.answer(lookup, now_ms(), Status { is_stored, ..self.status }))
            }
            Received::Complete(body) => {
                self.forget().await;
                send_answer(whole(&head, body, self.status))
            }
            Received::Streamed(response) => {
                self.forget().await;
                with_status(response, &head, self.status)
            }
        }
    }

    /// Notes that the response for this request is not stored, and removes an earlier one.
    async fn forget(&self) {
        let store = self.store;
        if let Some(stored) = &self.stored {
            store.remove(&self.lookup.key, stored).await;
        }
        store.note_not_stored(&self.lookup, now_ms());
    }
}

/// A response with trailers as it is.
fn whole(head: &HttpResponse<()>, body: FullBody, status: Status) -> HttpResponse<FullBody> {
    let mut answer = HttpResponse::new(body);
    *answer.status_mut() = head.status();
    *answer.headers_mut() = head.headers().clone();
    append_status(answer.headers_mut(), status);
    answer
}

/// Sends the request with these conditions in place of its own, so that the response can be stored.
async fn send_on(outline: &Outline, conditions: &HeaderMap) -> Result<Arrived, ErrorCode> {
    let fault = |error: HeaderError| ErrorCode::InternalError(Some(error.to_string()));
    for name in [header::IF_NONE_MATCH, header::IF_MODIFIED_SINCE] {
        outline.fields.delete(name.as_str()).map_err(fault)?;
    }
    for (name, value) in conditions {
        outline.fields.append(name.as_str(), value.as_bytes()).map_err(fault)?;
    }
    let request = outline.with_body(&FullBody::default())?;
    let sent_ms = now_ms();
    let response = next(request).await?;
    let exchange = Exchange { sent_ms, received_ms: now_ms() };
    Ok(Arrived { head: response_head(&response)?, response, exchange })
}

/// Whether the component behind could not handle the request (RFC 5861, 4).
fn is_failure(status: StatusCode) -> bool {
    matches!(status.as_u16(), 500 | 502 | 503 | 504)
}
