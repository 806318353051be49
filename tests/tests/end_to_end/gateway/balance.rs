//! Requests that are forwarded to several servers.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::Method;
use pipeline_tests::eventually;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{App, COMPLETE, Kind, LONG_BYTES, STREAMED, Upstream, nobody, start};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_distributed_over_the_upstreams_that_answer() {
    for kind in [COMPLETE, STREAMED] {
        distribute(kind).await;
    }
}

/// Checks that only upstreams that answer get requests.
async fn distribute(kind: Kind) {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let (_socket, gone) = nobody();
    let urls = format!("{},{},{gone}", one.url, other.url);
    let variables = [
        ("balance_upstreams", &*urls),
        ("balance_timeout_ms", "25000"),
        ("balance_sticky", "cookie:session"),
        ("balance_failures_max", "2"),
        ("balance_ejection_s", "3600"),
        ("retry_timeout_ms", "25000"),
        ("retry_initial_interval_ms", "1"),
    ];
    let client = start(kind, &[], &variables).await;
    let get = async |client: &App, fields: &[(&str, &str)]| {
        let answer = client.send(Method::GET, "/echo", fields, "").await;
        (answer.status.as_u16(), answer.header("x-upstream").to_owned())
    };
    let mut counts = HashMap::<(u16, String), usize>::new();
    for _ in 0..12 {
        *counts.entry(get(&client, &[]).await).or_default() += 1;
    }
    // It has failed twice, and gets no requests any more.
    assert_eq!(counts.remove(&(502, String::new())), Some(2), "{counts:?}");
    let counts: Vec<_> = counts.into_iter().map(|((status, _), count)| (status, count)).collect();
    assert_eq!(counts, [(200, 5), (200, 5)]);
    let mut used = Vec::new();
    for session in 0..20 {
        let cookie = format!("a=b; session={session}");
        let fields = [("cookie", &*cookie)];
        let first = get(&client, &fields).await;
        assert_eq!((first.0, get(&client, &fields).await), (200, first.clone()));
        used.push(first.1);
    }
    assert!(used.contains(&one.url) && used.contains(&other.url));
    // The failures are repeated until the upstream is ejected, or another one is reached.
    let client = start(kind, &["retry"], &variables).await;
    for _ in 0..6 {
        let answer = client.get("/echo").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    // Health checks find out that an upstream fails, and that it works again. No request is lost, because
    // the upstream answers nevertheless.
    let both = format!("{},{}", one.url, other.url);
    let checks = [
        ("balance_upstreams", &*both),
        ("balance_timeout_ms", "25000"),
        ("balance_health_path", "/health"),
        ("balance_health_interval_s", "1"),
        ("balance_health_timeout_ms", "25000"),
        ("balance_health_failures_max", "1"),
        ("balance_health_successes", "1"),
    ];
    let client = start(kind, &[], &checks).await;
    let used = async || {
        let answers = [get(&client, &[]).await, get(&client, &[]).await, get(&client, &[]).await];
        answers.map(|(status, url)| {
            assert_eq!(status, 200);
            url
        })
    };
    assert!(used().await.contains(&one.url));
    one.is_broken.store(true, Ordering::Relaxed);
    let is_ejected = async || (!used().await.contains(&one.url)).then_some(());
    eventually("the upstream that is not healthy gets no requests", is_ejected).await;
    one.is_broken.store(false, Ordering::Relaxed);
    let is_used = async || used().await.contains(&one.url).then_some(());
    eventually("the upstream gets requests again", is_used).await;
    assert!(!other.bodies("/health").is_empty());
    let hangs = [("balance_upstreams", &*one.url), ("balance_timeout_ms", "500")];
    let client = start(kind, &[], &hangs).await;
    assert_eq!(client.status(Method::GET, "/hangs/9/balance").await, 504);
    assert_eq!(client.status(Method::GET, "/hangs/9/balance").await, 504, "the only one");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_forwarded_unchanged_but_for_the_headers_of_the_connection() {
    for kind in [COMPLETE, STREAMED] {
        forward(kind).await;
    }
}

/// Checks what the upstream and the client get.
async fn forward(kind: Kind) {
    let upstream = Upstream::start().await;
    let url = format!("{}/", upstream.url);
    let variables = [("balance_upstreams", &*url), ("balance_timeout_ms", "25000")];
    let client = start(kind, &[], &variables).await;
    let forged = [
        ("x-forwarded-for", "203.0.113.1"),
        ("forwarded", "for=203.0.113.1"),
        ("x_forwarded_for", "203.0.113.1"),
        ("x-real-ip", "203.0.113.1"),
        ("spin-client-addr", "203.0.113.1:1"),
        ("keep-alive", "timeout=5"),
        ("x-other", "kept"),
    ];
    let (_, streamed) = kind;
    let body = "\0\r\nñ".repeat(if streamed { 100_000 } else { 1_000 });
    let answer = client.send(Method::PATCH, "/echo?a=%20b", &forged, body.clone()).await;
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    let (head, echoed) = text.split_once("\n\n").unwrap();
    assert!(echoed == body && !head.contains("203.0.113.1"), "{head}");
    assert!(head.starts_with("PATCH /echo?a=%20b\n") && head.contains("x-other: kept"), "{head}");
    let host = client.client.address();
    for line in [
        "x-forwarded-for: 127.0.0.1",
        &format!("x-forwarded-host: {host}"),
        "x-forwarded-proto: http",
        &format!("forwarded: for=127.0.0.1;host=\"{host}\";proto=http"),
    ] {
        assert_eq!(head.lines().filter(|own| *own == line).count(), 1, "{line}\n{head}");
    }
    assert!(!head.contains("spin-") && !head.contains("keep-alive"), "{head}");
    let inside =
        [("balance_upstreams", "http://service.spin.internal"), ("balance_timeout_ms", "25000")];
    let inside = start(kind, &[], &inside).await;
    let answer = inside.get("/request?a").await;
    assert!(answer.text().contains("GET /request?a"), "{}", answer.text());
    // A complete request remains one for that component.
    assert!(streamed || !answer.text().contains("streamed"), "{}", answer.text());
    let base = format!("{}/hangs/0", upstream.url);
    let below =
        start(kind, &[], &[("balance_upstreams", &*base), ("balance_timeout_ms", "25000")]).await;
    assert_eq!(below.status(Method::PUT, "/below").await, 200);
    assert_eq!(upstream.bodies("/hangs/0/below"), ["a body"]);
    for path in ["/%2e%2e/echo", "/..%2fecho"] {
        assert_eq!(below.status(Method::GET, path).await, 400, "{path}");
    }
    // `Connection` and the fields that it names concern only the connection of the client.
    let answer = client.raw("GET /echo", "connection: close, x-hop\r\nx-hop: 1\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("x-hop"), "{answer}");
    // The path `*` cannot be passed on.
    let answer = client.raw("OPTIONS *", "connection: close\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    // An answer that ends early is the fault of the upstream.
    let answer = client.get("/short").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    let long = client.get("/long").await;
    assert!(long.status == 200 && long.body.len() == LONG_BYTES, "{}", long.body.len());
    // The response may be a stream, also that to a complete request.
    let mut connection = TcpStream::connect(host).await.unwrap();
    let expect = if streamed { "expect: 100-continue\r\n" } else { "" };
    let request = format!("GET /stream HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{expect}\r\n");
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    let contains = |received: &[u8], text: &str| String::from_utf8_lossy(received).contains(text);
    while !contains(&received, "first") {
        assert_ne!(connection.read_buf(&mut received).await.unwrap(), 0);
    }
    assert!(!contains(&received, "second"));
    upstream.go_on.notify_one();
    connection.read_to_end(&mut received).await.unwrap();
    assert!(contains(&received, "second"), "{}", String::from_utf8_lossy(&received));
    let mark = if streamed { "x-request: streamed" } else { "x-request: complete" };
    assert!(contains(&received, mark), "{}", String::from_utf8_lossy(&received));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_clients_are_no_failures_of_upstreams() {
    let (one, other) = (Upstream::start().await, Upstream::start().await);
    let urls = format!("{},{}", one.url, other.url);
    let variables = [
        ("balance_upstreams", &*urls),
        ("balance_timeout_ms", "25000"),
        ("balance_failures_max", "1"),
        ("balance_ejection_s", "3600"),
        ("breaker_timeout_ms", "25000"),
        ("breaker_requests_min", "1"),
        ("breaker_expression", "ResponseCodeRatio(400, 600, 0, 600) > 0"),
    ];
    let client = start(STREAMED, &["breaker"], &variables).await;
    let head = "PUT /hangs/0/broken HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                transfer-encoding: chunked\r\n\r\n6\r\na body\r\n";
    for rest in ["no length\r\n", "9\r\nno", ""] {
        let (text, breaks_off) = (format!("{head}{rest}"), !rest.starts_with("no"));
        // A client that closes its connection gets no answer.
        let answer = client.client.raw(text.as_bytes(), breaks_off).await.unwrap_or_default();
        assert!(!answer.starts_with("HTTP/1.1 2"), "{answer}");
    }
    let mut used = Vec::new();
    for _ in 0..4 {
        let answer = client.get("/echo").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        used.push(answer.header("x-upstream").to_owned());
    }
    assert!(used.contains(&one.url) && used.contains(&other.url), "{used:?}");
    // The time limit begins with the end of the body.
    let slow = [("balance_upstreams", &*one.url), ("balance_timeout_ms", "200")];
    let client = start(STREAMED, &[], &slow).await;
    let mut connection = TcpStream::connect(client.client.address()).await.unwrap();
    let head = head.replace("/hangs/0/broken", "/hangs/9/slow");
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let early = connection.read_to_string(&mut answer);
    assert!(tokio::time::timeout(Duration::from_secs(1), early).await.is_err(), "{answer}");
    connection.write_all(b"0\r\n\r\n").await.unwrap();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 504"), "{answer}");
    assert_eq!(one.bodies("/hangs/9/slow"), ["a body"]);
}
