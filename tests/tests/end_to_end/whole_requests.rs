//! Requests with a complete body, which a component may handle without streams.

use std::time::Duration;

use component_host::Limits;
use futures::future::{Either, select};
use http::Method;

use crate::guests::{limits, serve, short};

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_request_is_passed_without_streams() {
    let client = serve("exports-both", limits()).await;
    let long = "x".repeat(usize::try_from(limits().gathered_body_bytes_max).unwrap());
    for (head, body, expected) in [
        ("GET / HTTP/1.1", "", "whole"),
        ("POST / HTTP/1.1\r\ncontent-length: 2", "ab", "whole"),
        ("POST / HTTP/1.1\r\ncontent-length: 2\r\nexpect: 100-continue", "ab", "streamed"),
        ("GET / HTTP/1.1\r\nexpect: 100-continue", "", "streamed"),
        ("GET / HTTP/1.1\r\naccept: text/event-stream", "", "streamed"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked", "2\r\nab\r\n0\r\n\r\n", "streamed"),
    ] {
        let request = format!("{head}\r\nhost: a\r\nconnection: close\r\n\r\n{body}");
        let answer = client.raw(request.as_bytes(), false).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{head}: {answer}");
        assert!(answer.contains(expected), "{head}: {answer}");
    }
    for (body, expected) in [(long.clone(), "whole"), (format!("{long}x"), "streamed")] {
        let length = body.len();
        let answer = client.send(Method::POST, "/", &[], body).await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, expected), "{length} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_gets_the_whole_request() {
    let client = serve("exports-both", limits()).await;
    let headers = [("x-two", "1"), ("x-three", "a:b"), ("proxy-authorization", "secret")];
    let answer = client.send(Method::PUT, "/request?a=%20b", &headers, "\0\r\nñ").await.unwrap();
    let text = answer.text();
    let head = format!("PUT /request?a=%20b Some(\"http\") Some({:?})\n", client.address());
    assert!(text.starts_with(&head), "{head}: {text}");
    for line in ["x-two: 1\r\n", "x-three: a:b\r\n", "spin-path-info: /request\r\n"] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("proxy-authorization"), "{text}");
    assert!(text.ends_with("\r\n\n\0\r\nñ"), "{text}");
    assert_eq!(answer.header("content-type"), "text/plain");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_response_affects_only_its_request() {
    let client = serve("exports-both", short()).await;
    for (path, status) in [
        ("/long", 500),
        ("/short", 500),
        ("/lengths", 500),
        ("/forbidden", 500),
        ("/fields", 500),
        ("/status", 500),
        ("/informational", 500),
        ("/field", 500),
        ("/trailer", 500),
        ("/trap", 500),
        ("/loop", 504),
        ("/hang", 504),
    ] {
        let answer = client.post(path, "").await.unwrap();
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json", "{path}");
        let answer = client.post("/", "").await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "whole"), "after {path}");
    }
    let answer = client.send(Method::HEAD, "/head", &[], "").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("content-length")), (200, "100"));
    assert_eq!(client.send(Method::GET, "/unmodified", &[], "").await.unwrap().status, 304);
    let answer = client.post("/longest", "").await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 1 << 20));
    let answer = client.send2(Method::GET, "/trailers", &[], "").await.unwrap();
    assert_eq!(answer.trailers.get("a").map(|value| value.as_bytes()), Some(&b"b"[..]));
}

/// The other requests of an instance whose guest waits are answered, also after one of them exceeded
/// its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_hangs_delays_no_other() {
    // The hanging requests end after this time, by which the others must have been answered.
    let limits = Limits { request_timeout: Duration::from_secs(10), ..limits() };
    let client = serve("exports-both", limits).await;
    assert_eq!(client.post("/", "").await.unwrap().status, 200);
    let hangs = (0..8).map(|_| client.post("/hang", ""));
    let others = async {
        for _ in 0..10 {
            let answer = client.post("/", "").await.unwrap();
            assert_eq!((answer.status.as_u16(), &*answer.text()), (200, "whole"));
        }
    };
    let hangs = std::pin::pin!(futures::future::join_all(hangs));
    let Either::Right(((), hangs)) = select(hangs, std::pin::pin!(others)).await else {
        panic!("the others waited")
    };
    for answer in hangs.await {
        assert_eq!(answer.unwrap().status, 504);
    }
    assert_eq!(client.post("/", "").await.unwrap().status, 200);
}
