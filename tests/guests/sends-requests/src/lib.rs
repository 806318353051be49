//! Reads from the fields of each request which request to send, sends it through
//! `doorbuster:http/client`, and answers with the result as text. Its response at `/broken` fails after the head.
#![allow(clippy::unwrap_used, reason = "a trap is a failed test")]

use bytes::Bytes;
use futures::future::{Either, select};
use http::{HeaderMap, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use spin_sdk::http::{IntoResponse as _, Request as StreamedRequest};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::{ErrorCode, Fields, Response as HostResponse};
use spin_sdk::wasip3::wit_future;

use bindings::doorbuster::http::client;
use bindings::doorbuster::http::types::{
    Request, Response as WholeResponse, ResponseLimits, SendError,
};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:http/caller",
        path: "../../../wit/doorbuster-http",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
    });
}

#[http_service]
async fn handle(request: StreamedRequest) -> Result<HostResponse, ErrorCode> {
    if request.uri().path() == "/broken" {
        return Ok(broken());
    }
    Response::new(Full::<Bytes>::from(send(request).await)).into_response()
}

/// A response whose body fails with an error that usually means that nothing was sent.
fn broken() -> HostResponse {
    let (_dropped, trailers) = wit_future::new(|| Err(ErrorCode::ConnectionRefused));
    let (response, _sent) = HostResponse::new(Fields::new(), None, trailers);
    response
}

async fn send(request: StreamedRequest) -> String {
    let (head, body) = request.into_parts();
    let fields = &head.headers;
    let body = body.collect().await.unwrap().to_bytes();
    let (request, limits) = described(fields, body);
    let sending = std::pin::pin!(client::send(request, limits));
    let result = match number(fields, "x-cancel-ms") {
        None => Some(sending.await),
        Some(ms) => {
            let sleep = std::pin::pin!(spin_sdk::time::sleep(std::time::Duration::from_millis(ms)));
            match select(sending, sleep).await {
                Either::Left((result, _)) => Some(result),
                Either::Right(_) => None,
            }
        }
    };
    result.map_or("cancelled".into(), text)
}

/// The request in the fields `x-url`, `x-method` and `x-fields` (separated by `|`), and its limits.
fn described(fields: &HeaderMap, body: Bytes) -> (Request, ResponseLimits) {
    let text = |name: &str| fields.get(name).map(|value| value.to_str().unwrap().to_owned());
    let uri: Uri = text("x-url").unwrap().parse().unwrap();
    let lines = text("x-fields").unwrap_or_default();
    let lines = lines.split('|').filter(|line| !line.is_empty());
    let request = Request {
        method: text("x-method").unwrap_or_else(|| "POST".into()),
        path_with_query: uri.path_and_query().unwrap().to_string(),
        scheme: uri.scheme().map(ToString::to_string),
        authority: uri.authority().map(ToString::to_string),
        headers: lines.map(|line| format!("{line}\r\n")).collect::<String>().into(),
        body: body.into(),
        trailers: Vec::new(),
    };
    let limits = ResponseLimits {
        timeout_ms: number(fields, "x-timeout-ms").unwrap_or(30_000).try_into().unwrap(),
        body_bytes_max: number(fields, "x-bytes-max").unwrap_or(1 << 20),
    };
    (request, limits)
}

fn number(fields: &HeaderMap, name: &str) -> Option<u64> {
    fields.get(name).map(|value| value.to_str().unwrap().parse().unwrap())
}

fn text(result: Result<WholeResponse, SendError>) -> String {
    let WholeResponse { status, headers, body, trailers } = match result {
        Ok(response) => response,
        Err(error) => return format!("{error:?}"),
    };
    let [headers, trailers] = [headers, trailers].map(|lines| String::from_utf8(lines).unwrap());
    // The time differs between two requests.
    let headers = headers.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
    let headers: String = headers.collect();
    format!("{status}\n{headers}\n{}\n{trailers}", String::from_utf8_lossy(&body))
}
