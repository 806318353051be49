//! Answers every request at once, with `wasi:http`, so that the time is spent in the host. The same
//! component runs in Doorbuster, `wasmtime serve` and Spin.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use spin_sdk::http::Request;
use spin_sdk::http_service;

/// The answer that the load generator expects.
const ACCEPTED: &[u8] = br#"{"status":"Procesado"}"#;

#[http_service]
async fn handle(_request: Request) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(ACCEPTED));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
