//! Sends each request to the server in the variable `server`, and answers with its response.
#![allow(clippy::unwrap_used, reason = "a trap is a failed test")]

use guest_http::{Outline, contents, variable};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response, Scheme};

guest_http::proxy!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let mut outline = Outline::of(&request);
    outline.scheme = Some(Scheme::Http);
    outline.authority = variable("server").await.unwrap();
    if outline.fields.has("host") {
        outline.fields.delete("host").unwrap();
    }
    let (contents, trailers) = contents(request);
    client::send(outline.into_request(Some(contents), trailers)?).await
}
