//! Texts with metrics, and the state of the pipeline that they describe.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use hops::{Error, Pipeline};
use metrics_text::NotASample;
use serde_json::json;

/// The answer of a process, as `prometheus-client` writes it.
const OF_A_PROCESS: &str = r#"# HELP kafka_producer_delivered Records that the broker acknowledged.
# TYPE kafka_producer_delivered counter
kafka_producer_delivered_total 90
kafka_producer_queue_full_total 1
kafka_producer_failed_total 2
# TYPE spin_http_requests counter
spin_http_requests_total{component="dashboard",code="200"} 7
spin_http_requests_total{component="writer",code="200"} 90
spin_http_requests_total{component="ingest",code="200"} 90
spin_http_requests_total{component="ingest",code="304"} 1
spin_http_requests_total{component="ingest",code="400"} 4
spin_http_requests_total{component="ingest",code="503"} 2
spin_http_refusals_total{component="ingest",problem="busy"} 1
spin_http_refusals_total{component="ingest",problem="trap"} 3
spin_http_refusals_total{component="ingest",problem="deadline"} 0
spin_http_request_duration_seconds_sum{component="ingest"} 0.5
spin_http_request_duration_seconds_count{component="ingest"} 97
spin_http_request_duration_seconds_bucket{le="0.001",component="ingest"} 97
spin_http_requests_in_progress{component="ingest"} 3
spin_http_requests_waiting{component="ingest"} 1
spin_http_instances{component="ingest"} 2
spin_kafka_records_total{component="aggregator"} 80
spin_kafka_retries_total{component="aggregator"} 5
spin_kafka_dead_letters_total{component="aggregator"} 2
spin_kafka_rejections_total{component="aggregator"} 1
spin_kafka_poison_records_total{component="aggregator"} 1
spin_kafka_lag{topic="sales-topic",partition="0",component="aggregator"} 6
spin_kafka_lag{topic="sales-topic",partition="1",component="aggregator"} 4
spin_kafka_oldest_record_seconds{topic="sales-topic",partition="0",component="aggregator"} 1.5
spin_kafka_oldest_record_seconds{topic="sales-topic",partition="1",component="aggregator"} 0.5
spin_kafka_assigned_partitions{component="aggregator"} 2
spin_kafka_instances{component="aggregator"} 2
process_open_fds 9
# EOF
"#;

#[test]
fn the_metrics_of_a_process_are_read() {
    let pipeline = Pipeline::parse(OF_A_PROCESS, 1_234).unwrap();
    let state: serde_json::Value = serde_json::from_slice(&pipeline.to_json()).unwrap();
    assert_eq!(
        state,
        json!({
            "time_ms": 1_234,
            "rate_window_ms": 5_000,
            "requests": [
                {"component": "ingest", "accepted": 91, "refused": 6, "measured": 97,
                    "seconds": 0.5, "in_progress": 3, "waiting": 1, "instances": 2},
                {"component": "writer", "accepted": 90, "refused": 0, "measured": 0,
                    "seconds": 0.0, "in_progress": 0, "waiting": 0, "instances": 0},
            ],
            "refusals": [
                {"component": "ingest", "problem": "trap", "requests": 3},
                {"component": "ingest", "problem": "busy", "requests": 1},
            ],
            "producer": {"delivered": 90, "queue_full": 1, "failed": 2},
            "consumer": {"records": 80, "retries": 5, "breakdowns": 0, "rejected": 1, "poison": 1,
                "dead_letters": 2, "dead_letter_failures": 0, "skipped": 0, "lag": 10,
                "oldest_seconds": 1.5, "stalled_partitions": 0, "partitions": 2, "instances": 2},
        })
    );
}

/// The answer of Prometheus's `/federate`: labels of the target, and the times of the values.
const OF_PROMETHEUS: &str = r#"# TYPE spin_kafka_lag untyped
spin_kafka_lag{component="aggregator",pod="aggregator-1",instance="10.0.0.1:80"} 3 1700000015000
spin_kafka_lag{component="aggregator",pod="aggregator-2",instance="10.0.0.2:80"} 4 1700000020000
# TYPE spin_http_requests_total untyped
spin_http_requests_total{code="200",component="pipeline",pod="ingest-1"} 10 1700000010000
spin_http_requests_total{code="200",component="pipeline",pod="ingest-2"} 20 1700000012000
"#;

#[test]
fn the_metrics_of_all_processes_are_added() {
    let pipeline = Pipeline::parse(OF_PROMETHEUS, 0).unwrap();
    assert_eq!((pipeline.time_ms, pipeline.rate_window_ms), (1_700_000_020_000, 60_000));
    assert_eq!(pipeline.consumer.unwrap().lag, 7);
    assert_eq!(pipeline.requests[0].accepted, 30);
    assert_eq!(pipeline.producer, None);
}

#[test]
fn numbers_outside_their_range_do_not_break_the_answer() {
    let text = "spin_kafka_lag NaN\nspin_kafka_retries_total -1\nspin_kafka_records_total 1e300\n\
                spin_kafka_records_total 1\nspin_kafka_oldest_record_seconds NaN\n\
                spin_kafka_oldest_record_seconds +Inf\n\
                spin_http_request_duration_seconds_sum{component=\"ingest\"} NaN\n";
    let pipeline = Pipeline::parse(text, 0).unwrap();
    assert!(serde_json::from_slice::<serde_json::Value>(&pipeline.to_json()).is_ok());
    let consumer = pipeline.consumer.unwrap();
    assert_eq!((consumer.lag, consumer.retries, consumer.records), (0, 0, u64::MAX));
    assert_eq!(pipeline.requests[0].seconds, 0.0);
}

#[test]
fn the_number_of_refusals_is_limited() {
    let line = |n| format!("spin_http_refusals_total{{component=\"ingest\",problem=\"é{n}\"}} 1\n");
    let many: String = (0..1_000).map(line).collect();
    let long = format!(
        "spin_http_refusals_total{{component=\"ingest\",problem=\"é{}\"}} 2\n",
        "é".repeat(100)
    );
    let refusals = Pipeline::parse(&(long + &many), 0).unwrap().refusals;
    assert_eq!(refusals.len(), 32);
    assert_eq!(refusals[0].problem, "é".repeat(32));
}

#[test]
fn a_text_without_metrics_of_the_pipeline_is_an_error() {
    let of_dashboard = "spin_http_requests_total{component=\"dashboard\",code=\"200\"} 7\n# EOF\n";
    for text in ["", "<!doctype html>\n<p>Not found</p>", "process_open_fds 9\n", of_dashboard] {
        assert_eq!(Pipeline::parse(text, 0), Err(Error::NoMetrics), "{text}");
    }
    let broken = "# EOF\nspin_kafka_lag{topic=\"sales\n";
    assert_eq!(Pipeline::parse(broken, 0), Err(Error::Malformed(NotASample { line: 2 })));
}
