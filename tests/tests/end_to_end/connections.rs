//! Connections that send no request or read no response are closed in every state and on every
//! port.

use std::time::Duration;

use component_host::Limits;
use pipeline_tests::{Client, FailingApp};
use test_servers::{WAIT_LIMIT, shared_kafka};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::guests;

/// The preface of HTTP/2 and an empty SETTINGS frame.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// What a client has sent before it is silent, and whether a request has begun.
const SILENT: [(&str, &[u8]); 8] = [
    ("nothing", b""),
    ("one byte", b"P"),
    ("a part of the preface", b"PRI * HT"),
    ("HTTP/2 and nothing else", HTTP2),
    ("half a head", b"POST /good HTTP/1.1\r\nhost: a\r\n"),
    ("a whole request", b"POST /good HTTP/1.1\r\nhost: a\r\n\r\n"),
    ("half a body", b"POST /body HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf"),
    (
        "half a body in chunks",
        b"POST /body HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ),
];

/// A server with room for a single connection, and with short timeouts.
async fn narrow() -> Client {
    let short = Duration::from_secs(1);
    let limits = Limits {
        connections_max: 1,
        head_timeout: short,
        body_timeout: short,
        send_timeout: short,
        request_timeout: Duration::from_secs(60),
        ..guests::limits()
    };
    guests::serve("misbehaves", limits).await
}

async fn connect(client: &Client) -> TcpStream {
    TcpStream::connect(client.address()).await.unwrap()
}

/// Reads until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset also ends the connection.
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn is_served(client: &Client, state: &str) {
    let request = b"POST /good HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = client.raw(request, false).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "after {state}: {answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_client_is_disconnected() {
    let client = narrow().await;
    for (state, bytes) in SILENT {
        let mut silent = connect(&client).await;
        silent.write_all(bytes).await.unwrap();
        is_served(&client, state).await;
        let answer = rest(&mut silent).await;
        assert_eq!(answer.contains(" 408 "), state.contains("body"), "{state}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_no_response_is_disconnected() {
    let client = narrow().await;
    let mut silent = connect(&client).await;
    silent.write_all(b"GET /large HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    is_served(&client, "an answer over HTTP/1.1").await;
    let unread = client.unread2("/large").await.unwrap();
    assert_eq!(unread.status(), 200);
    is_served(&client, "an answer over HTTP/2").await;
    drop(unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_in_a_row_keep_their_connection() {
    let limits = Limits { head_timeout: Duration::from_secs(2), ..guests::limits() };
    let client = guests::serve("misbehaves", limits).await;
    let mut connection = connect(&client).await;
    // Each request takes a tenth of a second; together they take longer than the idle timeout.
    for _ in 0..30 {
        connection.write_all(b"POST /who HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"0\r\n\r\n") {
            assert_ne!(connection.read_buf(&mut answer).await.unwrap(), 0, "closed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_body_within_the_deadline_is_read() {
    let limits = Limits { body_timeout: Duration::from_secs(30), ..guests::limits() };
    let client = guests::serve("misbehaves", limits).await;
    let mut slow = connect(&client).await;
    slow.write_all(
        b"POST /body HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 4\r\n\r\n",
    )
    .await
    .unwrap();
    for byte in b"body" {
        slow.write_all(&[*byte]).await.unwrap();
        slow.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    let answer = rest(&mut slow).await;
    assert!(answer.contains("Some(\"read\")"), "{answer}");
}

/// The same server with the default limits.
#[tokio::test(flavor = "multi_thread")]
async fn operators_port_closes_silent_connections() {
    let kafka = shared_kafka();
    let app = FailingApp::new(&kafka.bootstrap(), "silent-operators", "").await.unwrap();
    let running = app.up(&[]).await.unwrap();
    let mut open = Vec::new();
    for (state, bytes) in SILENT.into_iter().filter(|(state, _)| !state.contains("body")) {
        let mut silent = TcpStream::connect(app.operator()).await.unwrap();
        silent.write_all(bytes).await.unwrap();
        open.push((state, silent));
    }
    for (state, silent) in &mut open {
        let closed = tokio::time::timeout(WAIT_LIMIT, rest(silent)).await;
        assert!(closed.is_ok(), "{state}: still open");
    }
    assert_eq!(app.get("/metrics").await.unwrap().0, 200);
    let head = reqwest::Client::new().head(format!("http://{}/healthz", app.operator()));
    assert_eq!(head.send().await.unwrap().text().await.unwrap(), "");
    running.stop().await.unwrap();
}
