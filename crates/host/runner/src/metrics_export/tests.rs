use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Bytes;
use axum::http::{StatusCode, header};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest,
};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_sdk::Resource;
use tokio::sync::{mpsc, oneshot};

use super::*;

/// A request that a collector received, and how it answers.
struct Exchange {
    headers: HeaderMap,
    body: Bytes,
    answer: oneshot::Sender<(StatusCode, Vec<u8>)>,
}

impl Exchange {
    /// The value of the only counter.
    fn counted(&self) -> f64 {
        let request = ExportMetricsServiceRequest::decode(self.body.clone()).unwrap();
        let scope = &request.resource_metrics[0].scope_metrics[0];
        let Some(Data::Sum(sum)) = &scope.metrics[0].data else { panic!("{request:?}") };
        assert!(sum.data_points[0].start_time_unix_nano < sum.data_points[0].time_unix_nano);
        match sum.data_points[0].value {
            Some(Value::AsDouble(value)) => value,
            other => panic!("{other:?}"),
        }
    }

    fn answer(self, status: u16, body: Vec<u8>) {
        // A request that was given up has no receiver.
        let _ = self.answer.send((StatusCode::from_u16(status).unwrap(), body));
    }
}

/// A collector whose answers the test gives. Returns its address.
async fn collector() -> (String, mpsc::Receiver<Exchange>) {
    let (sender, exchanges) = mpsc::channel(1);
    let take = move |headers: HeaderMap, body: Bytes| async move {
        let (answer, answered) = oneshot::channel();
        sender.send(Exchange { headers, body, answer }).await.unwrap();
        answered.await.unwrap()
    };
    let router = axum::Router::new().route("/v1/metrics", axum::routing::post(take));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, exchanges)
}

fn export(set: &[(&str, &str)]) -> Result<Option<MetricsExport>, String> {
    let setting = |name: &str| {
        let found = set.iter().find(|(other, _)| *other == name);
        Ok(found.map(|(_, value)| (*value).to_owned()))
    };
    MetricsExport::new(setting, || Ok(Resource::builder_empty().build()))
}

/// A counter that grows each time it is read, from 1.
fn counter() -> Source {
    let count = AtomicU64::new(0);
    Arc::new(move || {
        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(format!("# TYPE reads counter\nreads_total {count}\n"))
    })
}

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

#[tokio::test]
async fn metrics_are_sent_in_intervals_and_at_the_end() {
    let (url, mut exchanges) = collector().await;
    let set = [
        (ENDPOINT, &*url),
        (INTERVAL, "1"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc"),
    ];
    let running = export(&set).unwrap().unwrap().start(counter());
    let first = exchanges.recv().await.unwrap();
    assert_eq!(first.headers[header::CONTENT_TYPE], "application/x-protobuf");
    assert_eq!(first.headers[header::AUTHORIZATION], "Bearer abc");
    assert_eq!(first.counted(), 1.0);
    first.answer(503, Vec::new());
    let second = exchanges.recv().await.unwrap();
    assert_eq!(second.counted(), 2.0);
    assert!(running.export.watch.fails());
    second.answer(200, Vec::new());
    let third = exchanges.recv().await.unwrap();
    assert!(!running.export.watch.fails());
    assert_eq!(third.counted(), 3.0);
    // The request in progress is given up.
    let end = tokio::spawn(running.end());
    let last = exchanges.recv().await.unwrap();
    assert_eq!(last.counted(), 4.0);
    last.answer(200, Vec::new());
    end.await.unwrap();
    assert!(exchanges.try_recv().is_err());
}

#[tokio::test]
async fn everything_but_complete_acceptance_is_a_failure() {
    let (url, mut exchanges) = collector().await;
    let export = Arc::new(export(&[(ENDPOINT, &url)]).unwrap().unwrap());
    let partly = |values, reason: &str| {
        let refused = ExportMetricsPartialSuccess {
            rejected_data_points: values,
            error_message: reason.into(),
        };
        ExportMetricsServiceResponse { partial_success: Some(refused) }.encode_to_vec()
    };
    for (status, body, expected) in [
        (200, Vec::new(), None),
        (202, b"<html>".to_vec(), None),
        (200, partly(0, "a warning"), None),
        (200, vec![b' '; ANSWER_BYTES_MAX + 1], None),
        (200, partly(3, "too old"), Some("it refused 3 values: too old")),
        (307, Vec::new(), Some("its answer is 307 Temporary Redirect")),
        (404, b"no such page".to_vec(), Some("its answer is 404 Not Found")),
    ] {
        let sent = tokio::spawn({
            let export = export.clone();
            async move { export.send(&counter()).await }
        });
        exchanges.recv().await.unwrap().answer(status, body);
        let fault = sent.await.unwrap().err().map(|error| error.to_string());
        assert_eq!(fault.as_deref(), expected, "{status}");
    }
}

#[tokio::test]
async fn the_error_does_not_contain_the_address() {
    let export = export(&[(ENDPOINT, "http://user:secret@127.0.0.1:1")]).unwrap().unwrap();
    let fault = format!("{:#}", export.send(&counter()).await.unwrap_err());
    assert!(fault.contains("refused") && !fault.contains("secret"), "{fault}");
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_collector_that_does_not_answer() {
    let (url, mut exchanges) = collector().await;
    let days = "100000000";
    let set = [(ENDPOINT, &*url), (METRICS.timeouts[0], days), (EXPORT_TIMEOUT, days)];
    let running = export(&set).unwrap().unwrap().start(counter());
    let end = tokio::spawn(running.end());
    let unanswered = exchanges.recv().await.unwrap();
    end.await.unwrap();
    drop(unanswered);
}

#[test]
fn the_address_is_complete_only_in_the_variable_for_metrics() {
    let own = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";
    for (set, expected) in [
        (vec![(ENDPOINT, "http://collector:4318")], "http://collector:4318/v1/metrics"),
        (vec![(ENDPOINT, "https://collector/otlp/")], "https://collector/otlp/v1/metrics"),
        (vec![(ENDPOINT, "http://other"), (own, "http://own:1/a/b")], "http://own:1/a/b"),
    ] {
        assert_eq!(export(&set).unwrap().unwrap().address.as_str(), expected);
    }
    for name in [ENDPOINT, own] {
        for value in ["collector:4318", "secret", "ftp://collector"] {
            let fault = export(&[(name, value)]).err().unwrap();
            assert!(fault.starts_with(name) && !fault.contains("secret"), "{fault}");
        }
    }
}

#[test]
fn the_shorter_time_limit_applies() {
    let limit = |set: &[(&str, &str)]| {
        let value = |name: &str| {
            let found = set.iter().find(|(other, _)| *other == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        };
        timeout(value).map(|limit| limit.as_millis())
    };
    let [own, both] = METRICS.timeouts;
    assert_eq!(limit(&[]), Ok(10_000));
    assert_eq!(limit(&[(both, "60000")]), Ok(30_000));
    assert_eq!(limit(&[(both, "60000"), (own, "20")]), Ok(20));
    assert_eq!(limit(&[(EXPORT_TIMEOUT, "5")]), Ok(5));
    for name in [own, both, EXPORT_TIMEOUT] {
        assert_eq!(limit(&[(name, "0")]), Err(format!("{name}=0: must be greater than 0")));
    }
    let fault = export(&[(ENDPOINT, "http://collector"), (INTERVAL, "0")]).err().unwrap();
    assert_eq!(fault, "OTEL_METRIC_EXPORT_INTERVAL=0: must be greater than 0");
}
