//! A guest that does all that a guest must not: the host's tests call it.

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
#[expect(clippy::panic, reason = "it is wicked")]
async fn handle(request: Request) -> Result<Response<Full<Bytes>>, Error> {
    Ok(match request.uri().path() {
        "/trap" => panic!("as asked"),
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
        "/error" => return Err(ErrorCode::InternalError(Some("as asked".into())).into()),
        "/body" => {
            let read = request.into_body().collect().await;
            Response::new(Full::from(format!("{:?}", read.map(|_| "read").ok())))
        }
        _ => Response::new(Full::from("good")),
    })
}

/// More than a connection's buffers hold.
const LARGE_BYTES: usize = 16 << 20;

/// Tells what it sees of the request's head.
fn head(request: &Request) -> Response<Full<Bytes>> {
    Response::new(Full::from(format!("{}\n{:?}", request.uri(), request.headers())))
}

/// Gives content where there must not be any.
fn no_content() -> Response<Full<Bytes>> {
    let mut response = announcing(4, "body");
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// Tells, after a while, which instance it is.
async fn who() -> Response<Full<Bytes>> {
    static NAME: OnceLock<u64> = OnceLock::new();
    spin_sdk::time::sleep(Duration::from_millis(100)).await;
    let name = NAME.get_or_init(|| RandomState::new().hash_one(()));
    Response::new(Full::from(name.to_string()))
}

/// Takes memory until there is none.
fn grow() -> Response<Full<Bytes>> {
    let mut taken: Vec<Vec<u8>> = Vec::new();
    loop {
        taken.push(std::hint::black_box(vec![1; 1 << 20]));
    }
}

/// Announces a length that the body has not.
fn announcing(length: u64, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body));
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    response
}

/// Opens a socket that it may not open.
fn connect() -> Response<Full<Bytes>> {
    let refused = std::net::TcpStream::connect("127.0.0.1:1").err();
    Response::new(Full::from(format!("{:?}", refused.map(|error| error.kind()))))
}

/// Asks a host that it may not ask.
async fn fetch() -> Response<Full<Bytes>> {
    let answer = spin_sdk::http::get("http://127.0.0.1:1/").await;
    Response::new(Full::from(format!("{:?}", answer.err())))
}
