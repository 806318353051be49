//! What travels with a request to the next hop.

use http::HeaderValue;
use http::request::Builder;
use intake::request::{Context, IDEMPOTENCY_KEY, TRACEPARENT};

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
