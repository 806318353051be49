//! Answers like `hello`, and also exports `doorbuster:http/handler`, which Doorbuster then calls.
//! Other hosts call `wasi:http/handler`.

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::Full;
use spin_sdk::http::Request as StreamedRequest;
use spin_sdk::http_service;

use bindings::exports::doorbuster::http::handler::{Guest, Request, Response as WholeResponse};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:http/service",
        path: "../../wit/doorbuster-http",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
    use super::Whole;
    export!(Whole);
}

/// The answer that the load generator expects.
const ACCEPTED: &[u8] = br#"{"status":"Procesado"}"#;

#[http_service]
async fn handle(_request: StreamedRequest) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(ACCEPTED));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

struct Whole;

impl Guest for Whole {
    async fn handle(_request: Request) -> WholeResponse {
        WholeResponse {
            status: 200,
            headers: b"content-type: application/json\r\n".to_vec(),
            body: ACCEPTED.to_vec(),
            trailers: Vec::new(),
        }
    }
}
