//! Requests to the next hop.

use http::HeaderValue;
use http::request::Builder;
use intake::IntakeError;
use intake::request::{Context, IDEMPOTENCY_KEY, TRACEPARENT};
use spin_sdk::wasip3::http::types::ErrorCode;

/// Lets the context travel with a request.
pub fn with_context(mut request: Builder, context: Context) -> Builder {
    let headers = [(IDEMPOTENCY_KEY, context.idempotency_key), (TRACEPARENT, context.traceparent)];
    for (name, value) in headers {
        // Both were checked where they came in; what no header can carry is left out.
        if let Some(value) =
            value.and_then(|value| HeaderValue::from_maybe_shared(value.into_bytes()).ok())
        {
            request = request.header(name, value);
        }
    }
    request
}

/// What it means for a sale that its request got no answer.
pub fn unanswered(url: &str, error: ErrorCode) -> IntakeError {
    match error {
        ErrorCode::HttpRequestDenied => IntakeError::Other(format!(
            "{url} is not allowed; add it to the component's allowed_outbound_hosts"
        )),
        ErrorCode::HttpRequestUriInvalid => {
            IntakeError::Other(format!("{url} is no URL that can be called"))
        }
        ErrorCode::ConnectionTimeout
        | ErrorCode::ConnectionReadTimeout
        | ErrorCode::ConnectionWriteTimeout
        | ErrorCode::HttpResponseTimeout => IntakeError::TimedOut(format!("{url}: {error}")),
        other => IntakeError::Unavailable(format!("{url}: {other}")),
    }
}
