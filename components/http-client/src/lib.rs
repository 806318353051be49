//! Implements `doorbuster:http/client` by calling `wasi:http/client`, for hosts that do not provide it
//! themselves, such as Spin.

use bindings::exports::doorbuster::http::client::Guest;
use guest_http::send_streamed;
use guest_http::whole::types::{Request, Response, ResponseLimits, SendError};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:http-client/component",
        path: ["../../wit/doorbuster-http", "world.wit"],
        with: { "doorbuster:http/types@0.1.0": guest_http::whole::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::HttpClient;
    export!(HttpClient);
}

struct HttpClient;

impl Guest for HttpClient {
    async fn send(request: Request, limits: ResponseLimits) -> Result<Response, SendError> {
        send_streamed(request, limits).await
    }
}
