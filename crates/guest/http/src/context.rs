//! The context of a request that is passed to the next hop.

use http::HeaderValue;
use http::request::Builder;
use intake::request::{Context, IDEMPOTENCY_KEY, TRACEPARENT};

/// Adds the context to the headers of a request.
pub fn with_context(mut request: Builder, context: Context) -> Builder {
    let headers = [(IDEMPOTENCY_KEY, context.idempotency_key), (TRACEPARENT, context.traceparent)];
    for (name, value) in headers {
        // Both values were checked when the request was received. A value that is not valid in a
        // header is left out.
        if let Some(value) =
            value.and_then(|value| HeaderValue::from_maybe_shared(value.into_bytes()).ok())
        {
            request = request.header(name, value);
        }
    }
    request
}
