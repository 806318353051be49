//! Calls its dependency with the path of the request, and returns the result.

use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use spin_sdk::http::Request;
use spin_sdk::http_service;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "tests:capabilities/parent",
        path: "../probes-capabilities/wit",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

#[http_service]
async fn handle(request: Request) -> Response<Full<Bytes>> {
    let at = request.uri().path().trim_start_matches('/').to_owned();
    Response::new(Full::from(bindings::tests::capabilities::probe::look(at).await))
}
