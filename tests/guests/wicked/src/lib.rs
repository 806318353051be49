//! A guest that does all that a guest must not: the host's tests call it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, header};
use http_body_util::Full;
use spin_sdk::http::Request;
use spin_sdk::http_service;

#[http_service]
#[expect(clippy::panic, reason = "it is wicked")]
async fn handle(request: Request) -> Response<Full<Bytes>> {
    match request.uri().path() {
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
        _ => Response::new(Full::from("good")),
    }
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
