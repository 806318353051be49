//! Sends each request to the server in the variable `server`, and answers with its response.
#![allow(clippy::unwrap_used, reason = "a trap is a failed test")]

use guest_http::{Outline, variable};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response, Scheme};
use spin_sdk::wasip3::wit_future;

guest_http::proxy!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let mut outline = Outline::of(&request);
    outline.scheme = Some(Scheme::Http);
    outline.authority = variable("server").await.unwrap();
    if outline.fields.has("host") {
        outline.fields.delete("host").unwrap();
    }
    let (_read, result) = wit_future::new(|| Ok(()));
    let (contents, trailers) = Request::consume_body(request, result);
    client::send(outline.into_request(Some(contents), trailers)?).await
}
