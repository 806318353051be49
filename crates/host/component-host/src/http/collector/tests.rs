use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::text;

use super::*;
use crate::http::metrics::Counted;
use crate::http::permits::Permits;

fn service() -> Arc<ServiceMetrics> {
    Arc::new(ServiceMetrics::new(Permits::new(4)))
}

fn encoded(metrics: &HttpMetrics) -> String {
    let (mut registry, mut encoded) = (Registry::default(), String::new());
    register(metrics.clone(), &mut registry);
    text::encode(&mut encoded, &registry).unwrap();
    encoded
}

#[track_caller]
fn assert_line(text: &str, line: &str) {
    assert!(text.lines().any(|found| found == line), "`{line}` is not in:\n{text}");
}

#[tokio::test(start_paused = true)]
async fn an_answered_request_is_counted_by_its_status_and_duration() {
    let ingest = service();
    let metrics = HttpMetrics {
        services: vec![("ingest".into(), ingest.clone()), ("writer".into(), service())],
        ..HttpMetrics::default()
    };
    let arrival = ingest.arrived();
    tokio::time::advance(Duration::from_millis(2)).await;
    arrival.answered(StatusCode::OK);
    ingest.arrived().answered(StatusCode::BAD_REQUEST);
    ingest.arrived().answered(StatusCode::from_u16(999).unwrap());
    drop(ingest.arrived());
    ingest.interrupted.inc();
    let text = encoded(&metrics);
    for line in [
        r#"spin_http_requests_total{component="ingest",code="200"} 1"#,
        r#"spin_http_requests_total{component="ingest",code="400"} 1"#,
        r#"spin_http_requests_total{component="ingest",code="999"} 1"#,
        r#"spin_http_abandoned_requests_total{component="ingest"} 1"#,
        r#"spin_http_abandoned_requests_total{component="writer"} 0"#,
        r#"spin_http_interrupted_answers_total{component="ingest"} 1"#,
        r#"spin_http_request_duration_seconds_count{component="ingest"} 3"#,
        r#"spin_http_request_duration_seconds_sum{component="ingest"} 0.002"#,
        r#"spin_http_request_duration_seconds_bucket{le="0.001",component="ingest"} 2"#,
        r#"spin_http_request_duration_seconds_bucket{le="0.0025",component="ingest"} 3"#,
        r#"spin_http_request_duration_seconds_bucket{le="+Inf",component="ingest"} 3"#,
        r#"spin_http_request_duration_seconds_count{component="writer"} 0"#,
    ] {
        assert_line(&text, line);
    }
    assert!(!text.contains(r#"spin_http_requests_total{component="writer""#), "{text}");
}

#[test]
fn gauges_are_read_when_they_are_collected() {
    let ingest = service();
    let metrics =
        HttpMetrics { services: vec![("ingest".into(), ingest.clone())], ..HttpMetrics::default() };
    let permits = (ingest.permits.take(), ingest.permits.take());
    let waiting = Counted::new(&ingest.pool.waiting);
    let instance = Counted::new(&ingest.pool.instances);
    let text = encoded(&metrics);
    assert_line(&text, r#"spin_http_requests_in_progress{component="ingest"} 2"#);
    assert_line(&text, r#"spin_http_requests_waiting{component="ingest"} 1"#);
    assert_line(&text, r#"spin_http_instances{component="ingest"} 1"#);
    drop((permits, waiting, instance));
    let text = encoded(&metrics);
    for name in ["requests_in_progress", "requests_waiting", "instances"] {
        assert_line(&text, &format!(r#"spin_http_{name}{{component="ingest"}} 0"#));
    }
}

#[test]
fn refusals_are_counted_with_the_component_or_without_one() {
    let ingest = service();
    let metrics =
        HttpMetrics { services: vec![("ingest".into(), ingest.clone())], ..HttpMetrics::default() };
    ingest.refusals.count(Problem::Busy);
    metrics.unrouted.count(Problem::NotFound);
    metrics.unrouted.count(Problem::TransferCoding);
    let text = encoded(&metrics);
    for (problem, count) in [
        ("busy", 1),
        ("timed-out", 0),
        ("component-failed", 0),
        ("downstream", 0),
        ("invalid", 0),
        ("request-timeout", 0),
    ] {
        let labels = format!(r#"component="ingest",problem="{problem}""#);
        assert_line(&text, &format!("spin_http_refusals_total{{{labels}}} {count}"));
    }
    for (problem, count) in [
        ("not-found", 1),
        ("invalid", 0),
        ("method", 0),
        ("head-too-large", 0),
        ("transfer-coding", 1),
    ] {
        let line = format!(r#"spin_http_unrouted_requests_total{{problem="{problem}"}} {count}"#);
        assert_line(&text, &line);
    }
}

#[test]
fn each_metric_is_described_once() {
    let services = ["ingest", "bridge"].map(|id| (id.into(), service())).to_vec();
    let text = encoded(&HttpMetrics { services, ..HttpMetrics::default() });
    let mut types: Vec<_> = text.lines().filter(|line| line.starts_with("# TYPE")).collect();
    assert_eq!(types.len(), 9, "{text}");
    types.sort_unstable();
    types.dedup();
    assert_eq!(types.len(), 9, "{text}");
}

#[test]
fn an_application_without_http_components_has_no_http_metrics() {
    assert_eq!(encoded(&HttpMetrics::default()), "# EOF\n");
}
