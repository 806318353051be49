//! Circuits that open and close.

use std::sync::atomic::Ordering;

use http::Method;
use pipeline_tests::{Answer, eventually};

use super::{App, KINDS, Upstream, start};

/// Sends requests until one is refused, and returns the answer.
async fn refused(client: &App, path: &str) -> Answer {
    eventually("the circuit is open", async || {
        let answer = client.get(path).await;
        answer.text().contains("problem:circuit-open").then_some(answer)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_opens_and_closes_with_the_service() {
    for kind in KINDS {
        let upstream = Upstream::start().await;
        let variables = [
            ("balance_upstreams", &*upstream.url),
            ("server", upstream.address()),
            ("balance_timeout_ms", "25000"),
            ("breaker_expression", "ResponseCodeRatio(500, 600, 0, 600) > 0.5"),
            ("breaker_window_s", "600"),
            ("breaker_requests_min", "4"),
            ("breaker_fallback_duration_s", "1"),
            ("breaker_trials", "2"),
            ("breaker_timeout_ms", "25000"),
            ("breaker_status_path", "/circuit"),
        ];
        let client = start(kind, &["breaker"], &variables).await;
        let metric = async |line: &str| {
            let answer = client.get("/circuit?x").await;
            assert!(answer.header("content-type").starts_with("application/openmetrics-text"));
            answer.text().lines().any(|own| own == line)
        };
        assert_eq!(client.status(Method::GET, "/service").await, 200);
        assert!(metric("breaker_state{breaker_state=\"closed\"} 1").await);
        upstream.is_broken.store(true, Ordering::Relaxed);
        let answer = refused(&client, "/service").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "1");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert!(upstream.bodies("/service").len() >= 4, "too few requests decided");
        // What is refused does not reach the service.
        let before = upstream.bodies("/service").len();
        let mut sent = 0;
        while client.status(Method::POST, "/service").await == 500 {
            sent += 1;
        }
        assert_eq!(upstream.bodies("/service").len() - before, sent);
        upstream.is_broken.store(false, Ordering::Relaxed);
        eventually("the circuit is closed", async || {
            assert!(matches!(client.status(Method::GET, "/service").await, 200 | 503));
            metric("breaker_state{breaker_state=\"closed\"} 1").await.then_some(())
        })
        .await;
        assert_eq!(client.status(Method::GET, "/service").await, 200);
        assert!(!metric("breaker_openings_total 0").await);
        assert_eq!(client.status(Method::POST, "/circuit").await, 405);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_opens_if_the_service_hangs() {
    for kind in KINDS {
        let upstream = Upstream::start().await;
        let variables = [
            ("balance_upstreams", &*upstream.url),
            ("server", upstream.address()),
            ("balance_timeout_ms", "25000"),
            ("breaker_expression", "LatencyAtQuantileMS(50.0) > 100"),
            ("breaker_window_s", "600"),
            ("breaker_requests_min", "2"),
            ("breaker_fallback_duration_s", "3600"),
            ("breaker_timeout_ms", "300"),
        ];
        let client = start(kind, &["breaker"], &variables).await;
        let answer = client.get("/hangs/99/breaker").await;
        assert_eq!(answer.status, 504);
        assert!(answer.text().contains("problem:timed-out"), "{}", answer.text());
        let answer = refused(&client, "/hangs/99/breaker").await;
        let seconds: u32 = answer.header("retry-after").parse().unwrap();
        assert!((3_000..=3_600).contains(&seconds), "{seconds}");
    }
}
