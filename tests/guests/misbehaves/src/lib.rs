//! A test guest that misbehaves in every way that the host must handle.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use spin_sdk::http::{Error, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::ErrorCode;

#[http_service]
#[expect(clippy::panic, reason = "the host must handle it")]
async fn handle(request: Request) -> Result<Response<Full<Bytes>>, Error> {
    Ok(match request.uri().path() {
        "/trap" => panic!("as requested"),
        "/loop" => loop {
            std::hint::black_box(0);
        },
        "/hang" => {
            spin_sdk::time::sleep(Duration::MAX).await;
            Response::new(Full::from("late"))
        }
        "/grow" => grow(),
        "/short" => announcing(100, "less than that"),
        "/connect" => connect(),
        "/fetch" => fetch().await,
        "/who" => who().await,
        "/large" => Response::new(Full::from(vec![b'x'; LARGE_BYTES])),
        "/head" => head(&request),
        "/no-content" => no_content(),
        "/error" => return Err(ErrorCode::InternalError(Some("as requested".into())).into()),
        "/body" => {
            let read = request.into_body().collect().await;
            Response::new(Full::from(format!("{:?}", read.map(|_| "read").ok())))
        }
        _ => Response::new(Full::from("good")),
    })
}

/// More than the buffers of a connection can hold, in bytes.
const LARGE_BYTES: usize = 16 << 20;

/// Returns the head of the request as the guest receives it.
fn head(request: &Request) -> Response<Full<Bytes>> {
    Response::new(Full::from(format!("{}\n{:?}", request.uri(), request.headers())))
}

/// Sends a body with a status that must not have one.
fn no_content() -> Response<Full<Bytes>> {
    let mut response = announcing(4, "body");
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Returns the id of the instance, after a pause.
async fn who() -> Response<Full<Bytes>> {
    static NAME: OnceLock<u64> = OnceLock::new();
    spin_sdk::time::sleep(Duration::from_millis(100)).await;
    let name = NAME.get_or_init(|| RandomState::new().hash_one(()));
    Response::new(Full::from(name.to_string()))
}

/// Allocates memory until none is left.
fn grow() -> Response<Full<Bytes>> {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

/// Announces a length that differs from that of the body.
fn announcing(length: u64, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

/// Opens a socket without the permission.
fn connect() -> Response<Full<Bytes>> {
    let refused = std::net::TcpStream::connect("127.0.0.1:1").err();
    Response::new(Full::from(format!("{:?}", refused.map(|error| error.kind()))))
}

/// Sends a request to a host that is not allowed.
async fn fetch() -> Response<Full<Bytes>> {
    let answer = spin_sdk::http::get("http://127.0.0.1:1/").await;
    Response::new(Full::from(format!("{:?}", answer.err())))
}
