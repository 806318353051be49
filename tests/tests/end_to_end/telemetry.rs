//! The traces and metrics that an OpenTelemetry collector receives.

use std::collections::BTreeMap;

use http::Method;
use opentelemetry_proto::tonic::trace::v1::Span;
use pipeline_tests::{Collector, Launch, Pipeline, ReceivedMetrics, Wiring, eventually, texts};
use test_servers::{ValkeyConfig, shared_kafka, start_valkey};

const TOPIC: &str = "sales-with-telemetry";
const SALE: &str = r#"{"categoria":1,"producto_id":"tv","precio":9.99,"cantidad_vendida":1}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
/// The attribute that only the spans of batches have.
const COUNT: &str = "messaging.batch.message_count";

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_receives_the_trace_of_a_sale_and_the_metrics() {
    let collector = Collector::start().await.unwrap();
    let valkey = start_valkey(ValkeyConfig::default()).await.unwrap();
    let manifest = Wiring::Chained.manifest();
    let mut launch = Launch::new(manifest, shared_kafka().bootstrap(), valkey.url(), TOPIC)
        .variable("kafka_topic", TOPIC)
        .variable("kafka_group", TOPIC);
    let attributes = "service.name=shop,deployment.environment.name=test";
    launch.envs = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT".into(), collector.url().into()),
        ("OTEL_RESOURCE_ATTRIBUTES".into(), attributes.into()),
    ];
    let pipeline = Pipeline::launch(&launch).await.unwrap();
    let client = pipeline.client();
    let store = pipeline.store().await.unwrap();
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let traced = [JSON, ("traceparent", &*traceparent)];
    for (headers, total) in [(&traced[..], 1), (&[JSON][..], 2)] {
        let answer = client.send(Method::POST, "/purchase", headers, SALE).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
        eventually("the sale is counted", async || (store.total().await == total).then_some(()))
            .await;
    }
    // At its end the program sends the collected spans and the last metrics.
    pipeline.stop().await.unwrap();
    assert_trace(&collector.spans());
    assert_metrics(&collector.metrics());
    let resources: Vec<_> = collector.resources().into_iter().collect();
    let [resource] = &*resources else { panic!("traces and metrics differ: {resources:?}") };
    assert_eq!(resource["service.name"], "shop");
    assert_eq!(resource["deployment.environment.name"], "test");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The attributes of a span for a record or a batch of the aggregator at this offset.
fn position(span: &Span) -> BTreeMap<String, String> {
    assert_eq!(span.name, format!("process {TOPIC}"));
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano);
    let attributes = texts(&span.attributes);
    assert_eq!(attributes["component"], "aggregator");
    assert_eq!(attributes["messaging.destination.name"], TOPIC);
    attributes
}

/// The trace continues from the request over all hops and the record up to the batch that was
/// counted.
fn assert_trace(spans: &[Span]) {
    let is_batch = |span: &Span| texts(&span.attributes).contains_key(COUNT);
    let (batches, records): (Vec<_>, Vec<_>) = spans.iter().partition(|span| is_batch(span));
    let [record] = &*records else { panic!("only one sale has a trace: {records:?}") };
    assert_eq!(hex(&record.trace_id), TRACE);
    // The hops pass the header on, so the span of the record is a child of the client's.
    assert_eq!(hex(&record.parent_span_id), PARENT);
    let position_of_record = position(record);
    let links_to_trace = |span: &Span| {
        span.links.iter().any(|link| hex(&link.trace_id) == TRACE && hex(&link.span_id) == PARENT)
    };
    let linked: Vec<_> = batches.into_iter().filter(|batch| links_to_trace(batch)).collect();
    let [batch] = &*linked else { panic!("only one batch contains the sale: {linked:?}") };
    let position_of_batch = position(batch);
    assert_eq!(position_of_batch[COUNT], "1");
    for attribute in ["messaging.destination.partition.id", "messaging.kafka.offset"] {
        assert_eq!(position_of_batch[attribute], position_of_record[attribute], "{attribute}");
    }
}

/// The metrics are those of two sales.
fn assert_metrics(metrics: &ReceivedMetrics) {
    for hop in ["ingest", "bridge", "writer"] {
        let labels = [("component", hop), ("code", "200")];
        assert_eq!(metrics.counter("spin_http_requests_total", &labels), Some(2.0), "{hop}");
    }
    assert_eq!(metrics.counter("kafka_producer_delivered_total", &[]), Some(2.0));
    let aggregator = [("component", "aggregator")];
    assert_eq!(metrics.counter("spin_kafka_records_total", &aggregator), Some(2.0));
    assert_eq!(metrics.counter("spin_kafka_dead_letters_total", &aggregator), Some(0.0));
    let ingest = [("component", "ingest")];
    assert_eq!(metrics.gauge("spin_http_requests_in_progress", &ingest), Some(0.0));

    let name = "spin_http_request_duration_seconds";
    assert_eq!(metrics.metric(name).unwrap().unit, "s");
    let durations = metrics.histogram(name, &ingest).unwrap();
    assert_eq!(durations.count, 2);
    assert_eq!(durations.bucket_counts.iter().sum::<u64>(), 2);
    assert_eq!(durations.bucket_counts.len(), durations.explicit_bounds.len() + 1);
    assert!(durations.sum.unwrap() > 0.0);
    let started = metrics.gauge("process_start_time_seconds", &[]).unwrap();
    assert!(durations.start_time_unix_nano as f64 <= started * 1e9);
    assert!(durations.start_time_unix_nano < durations.time_unix_nano);
}
