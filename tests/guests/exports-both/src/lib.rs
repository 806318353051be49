//! Exports `wasi:http/handler` and `doorbuster:http/handler`. Against their contract, the responses
//! differ: they say which of the two was called.

use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body_util::{BodyExt as _, Full};
use spin_sdk::http::Request as StreamedRequest;
use spin_sdk::http_service;

use bindings::exports::doorbuster::http::handler::{Guest, Request, Response as WholeResponse};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:http/service",
        path: "../../../wit/doorbuster-http",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
    use super::Whole;
    export!(Whole);
}

#[http_service]
async fn handle(request: StreamedRequest) -> Response<Full<Bytes>> {
    if request.uri().path() != "/request" {
        return Response::new(Full::from("streamed"));
    }
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let mut text = format!("streamed\n{} {path}\n", head.method).into_bytes();
    for (name, value) in &head.headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    text.extend(body);
    Response::new(Full::from(text))
}

struct Whole;

impl Guest for Whole {
    async fn handle(request: Request) -> WholeResponse {
        let mut response = WholeResponse {
            status: 200,
            headers: b"content-type: text/plain\r\n".to_vec(),
            body: Vec::new(),
            trailers: Vec::new(),
        };
        let path = request.path_with_query.split('?').next().unwrap_or_default();
        match path {
            "/request" => {
                let Request { method, path_with_query, scheme, authority, .. } = request;
                let head = format!("{method} {path_with_query} {scheme:?} {authority:?}\n");
                response.body = [head.as_bytes(), &request.headers, b"\n", &request.body].concat();
            }
            "/longest" => response.body = vec![b'x'; 1 << 20],
            "/long" => response.body = vec![b'x'; (1 << 20) + 1],
            "/status" => response.status = 99,
            "/informational" => response.status = 103,
            "/short" | "/head" => response.headers = b"content-length: 100\r\n".to_vec(),
            "/lengths" => response.headers = b"content-length: 0\r\n".repeat(2),
            "/unmodified" => {
                response.status = 304;
                response.headers = b"content-length: 100\r\n".to_vec();
            }
            "/forbidden" => response.headers = b"transfer-encoding: gzip\r\n".to_vec(),
            "/fields" => response.headers = format!("a: {}\r\n", "x".repeat(128 << 10)).into(),
            "/field" => response.headers = b"no field".to_vec(),
            "/trailer" => response.trailers = b"a:\nb\r\n".to_vec(),
            "/trailers" => response.trailers = b"a: b\r\n".to_vec(),
            "/trap" => std::process::abort(),
            "/loop" => loop {
                std::hint::spin_loop();
            },
            "/hang" => spin_sdk::time::sleep(Duration::from_secs(60)).await,
            _ => response.body = b"whole".to_vec(),
        }
        response
    }
}
