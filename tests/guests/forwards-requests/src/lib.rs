//! Sends each request to the server in the variable `server`, and answers with its response, and with
//! `x-request: complete` or `x-request: streamed`.
#![allow(clippy::unwrap_used, reason = "a trap is a failed test")]

use guest_http::{Outline, changed_response, variable};
use http::header::HOST;
use http::{HeaderMap, HeaderValue};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response, Scheme};
use spin_sdk::wasip3::wit_future;

guest_http::proxy!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let mut outline = Outline::of(&request);
    outline.scheme = Some(Scheme::Http);
    outline.authority = variable("server").await.unwrap();
    for name in ["host", "expect"] {
        if outline.fields.has(name) {
            outline.fields.delete(name).unwrap();
        }
    }
    let (_read, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, result);
    let response = client::send(outline.into_request(Some(contents), trailers)?).await?;
    let mut headers = HeaderMap::new();
    headers.insert("x-request", HeaderValue::from_static("streamed"));
    Ok(changed_response(response, &headers).unwrap())
}

mod whole {
    use guest_http::whole::handler::{Guest, Request, Response};
    use guest_http::whole::types::ResponseLimits;
    use guest_http::{send_streamed, variable};
    use http_text::{from_lines, to_lines};

    struct Handler;
    guest_http::whole::export_whole!(Handler);

    impl Guest for Handler {
        async fn handle(mut request: Request) -> Response {
            request.scheme = Some("http".into());
            request.authority = variable("server").await.unwrap();
            let headers = from_lines(&request.headers.into()).unwrap();
            request.headers = to_lines(&headers, |name| *name != super::HOST);
            let limits = ResponseLimits { timeout_ms: 60_000, body_bytes_max: 1 << 20 };
            // A server may not answer in time.
            let mut response = send_streamed(request, limits).await.unwrap_or_else(|_| Response {
                status: 504,
                headers: Vec::new(),
                body: Vec::new(),
                trailers: Vec::new(),
            });
            response.headers.extend(b"x-request: complete\r\n");
            response
        }
    }
}
