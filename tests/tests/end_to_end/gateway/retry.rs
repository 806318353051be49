//! Requests that are sent again.

use http::Method;

use super::{App, KINDS, Kind, Upstream, start};

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_may_be_repeated_are_sent_again() {
    for kind in KINDS {
        let upstream = Upstream::start().await;
        let variables = [
            ("balance_upstreams", &*upstream.url),
            ("server", upstream.address()),
            ("balance_timeout_ms", "25000"),
            ("retry_attempts", "3"),
            ("retry_initial_interval_ms", "1"),
            ("retry_timeout_ms", "25000"),
            ("retry_idempotency_key", "true"),
            ("retry_body_bytes_max", "100"),
        ];
        let client = start(kind, &["retry"], &variables).await;
        let key = ("idempotency-key", "k");
        let long = "x".repeat(101);
        for (method, path, fields, body, expected, attempts) in [
            (Method::GET, "/fails/2/get", &[][..], "", 200, 3),
            (Method::PUT, "/fails/2/put", &[], "a body", 200, 3),
            (Method::DELETE, "/fails/3/delete", &[], "", 503, 3),
            (Method::POST, "/fails/1/post", &[], "a body", 503, 1),
            (Method::POST, "/fails/1/key", &[key], "a body", 200, 2),
            // The body is too long to be kept.
            (Method::PUT, "/fails/1/long", &[], &long, 503, 1),
            (Method::GET, "/later/get", &[], "", 503, 1),
        ] {
            let answer = client.send(method, path, fields, body.to_owned()).await;
            assert_eq!(answer.status.as_u16(), expected, "{path}: {}", answer.text());
            // If the time has ended before, an attempt has not reached the server.
            let bodies = upstream.bodies(path);
            assert_eq!(bodies.len(), attempts, "{path}");
            assert!(bodies.iter().all(|own| own == body), "{path}: {bodies:?}");
        }
        // A body without an announced length is passed on, but not kept.
        let head = "PUT /fails/1/chunked HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                    transfer-encoding: chunked\r\n\r\n6\r\na body\r\n4\r\n, on\r\n0\r\n\r\n";
        let answer = client.client.raw(head.as_bytes(), false).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert_eq!(upstream.bodies("/fails/1/chunked"), ["a body, on"]);
    }
}

/// Checks that `breaker` has counted the requests that were ended before it as such, and not as failures.
async fn assert_abandoned(client: &App) {
    let metrics = client.get("/circuit").await.text().to_owned();
    assert!(metrics.contains("{result=\"network-error\"} 0\n"), "{metrics}");
    assert!(metrics.contains("{result=\"server-error\"} 0\n"), "{metrics}");
    assert!(!metrics.contains("{result=\"abandoned\"} 0\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_are_limited_in_number_and_time() {
    for kind in KINDS {
        limit_retries(kind).await;
    }
}

/// Checks when a request is sent again.
async fn limit_retries(kind: Kind) {
    let upstream = Upstream::start().await;
    let url = ("balance_upstreams", &*upstream.url);
    let timeout = ("balance_timeout_ms", "25000");
    let server = ("server", upstream.address());
    let limited = [url, server, timeout, ("retry_timeout_ms", "500")];
    let client = start(kind, &["retry"], &limited).await;
    let answer = client.get("/hangs/9/all").await;
    assert_eq!(answer.status.as_u16(), 504, "{}", answer.text());
    assert!(answer.text().contains("problem:timed-out"), "{}", answer.text());
    // An attempt that is not answered in time is repeated.
    let attempts = [
        url,
        server,
        timeout,
        ("retry_timeout_ms", "25000"),
        ("retry_attempts", "10"),
        ("retry_attempt_timeout_ms", "1000"),
        ("breaker_timeout_ms", "25000"),
        ("breaker_status_path", "/circuit"),
    ];
    let client = start(kind, &["retry", "breaker"], &attempts).await;
    assert_eq!(client.status(Method::PUT, "/hangs/1/first").await, 200);
    assert!(upstream.bodies("/hangs/1/first").iter().all(|body| body == "a body"));
    // The circuit does not count the attempt whose time had ended.
    assert_abandoned(&client).await;
    // It is the same with each of the middleware.
    let order = ["rate-limit", "cache", "retry", "breaker"];
    let variables = [&attempts[..], &[("rate_limit_average", "1000")]].concat();
    let client = start(kind, &order, &variables).await;
    let path = "/hangs/1/all";
    let answer = client.send(Method::PUT, path, &[], "a body").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("ratelimit-limit"), "1000");
    assert!(!answer.header("cache-status").is_empty());
    let bodies = upstream.bodies(path);
    assert!(bodies.len() > 1 && bodies.iter().all(|body| body == "a body"), "{bodies:?}");
    assert_abandoned(&client).await;
    // If everything fails, a burst of ten requests is repeated, and then one of a hundred.
    let budget = [
        url,
        server,
        timeout,
        ("retry_timeout_ms", "25000"),
        ("retry_initial_interval_ms", "1"),
        ("retry_budget_percent", "1"),
    ];
    let client = start(kind, &["retry"], &budget).await;
    for _ in 0..30 {
        assert_eq!(client.status(Method::GET, "/fails/1000/budget").await, 503);
    }
    assert_eq!(upstream.bodies("/fails/1000/budget").len(), 40);
}
