//! An OpenTelemetry collector that keeps what it receives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::body::Bytes;
use axum::http::StatusCode;
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    number_data_point,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};

/// A server that receives traces and metrics over HTTP.
pub struct Collector {
    url: String,
    received: Arc<Mutex<Received>>,
}

#[derive(Default)]
struct Received {
    spans: Vec<ResourceSpans>,
    /// Those of the last request.
    metrics: Vec<ResourceMetrics>,
}

impl Collector {
    /// Starts the server.
    pub async fn start() -> Result<Self> {
        let received = Arc::<Mutex<Received>>::default();
        let (traces, metrics) = (received.clone(), received.clone());
        let take_traces = async move |body: Bytes| {
            keep(&traces, body, |received, request: ExportTraceServiceRequest| {
                received.spans.extend(request.resource_spans);
            })
        };
        let take_metrics = async move |body: Bytes| {
            keep(&metrics, body, |received, request: ExportMetricsServiceRequest| {
                received.metrics = request.resource_metrics;
            })
        };
        let router = axum::Router::new()
            .route("/v1/traces", post(take_traces))
            .route("/v1/metrics", post(take_metrics));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, received })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// All spans.
    pub fn spans(&self) -> Vec<Span> {
        let spans = lock(&self.received).spans.clone().into_iter();
        spans.flat_map(|of| of.scope_spans).flat_map(|of| of.spans).collect()
    }

    /// The attributes of the resources that the spans and the last metrics are about.
    pub fn resources(&self) -> BTreeSet<BTreeMap<String, String>> {
        let received = lock(&self.received);
        let of_spans = received.spans.iter().map(|of| &of.resource);
        let resources = of_spans.chain(received.metrics.iter().map(|of| &of.resource));
        let attributes = |of: &Option<Resource>| of.as_ref().map(|of| texts(&of.attributes));
        resources.map(|of| attributes(of).unwrap_or_default()).collect()
    }

    /// The metrics of the last request.
    pub fn metrics(&self) -> ReceivedMetrics {
        let metrics = lock(&self.received).metrics.clone().into_iter();
        let metrics = metrics.flat_map(|of| of.scope_metrics).flat_map(|of| of.metrics);
        ReceivedMetrics(metrics.collect())
    }
}

fn lock(received: &Mutex<Received>) -> std::sync::MutexGuard<'_, Received> {
    received.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps a request, or refuses it if it is not in the format of its path.
fn keep<R: prost::Message + Default>(
    received: &Mutex<Received>,
    body: Bytes,
    add: impl FnOnce(&mut Received, R),
) -> StatusCode {
    let Ok(request) = R::decode(body) else { return StatusCode::BAD_REQUEST };
    add(&mut lock(received), request);
    StatusCode::OK
}

/// The attributes as text.
pub fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |attribute: &KeyValue| match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    };
    attributes.iter().map(|of| (of.key.clone(), text(of).unwrap_or_default())).collect()
}

/// The metrics of a request.
#[derive(Debug)]
pub struct ReceivedMetrics(Vec<Metric>);

impl ReceivedMetrics {
    /// The metric with this name.
    pub fn metric(&self, name: &str) -> Option<&Metric> {
        self.0.iter().find(|metric| metric.name == name)
    }

    /// The value of a counter that is sent as a monotonic cumulative sum.
    pub fn counter(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let Data::Sum(sum) = self.metric(name)?.data.as_ref()? else { return None };
        let cumulative = sum.aggregation_temporality == AggregationTemporality::Cumulative as i32;
        let points = (sum.is_monotonic && cumulative).then_some(&sum.data_points)?;
        number(points.iter().find(|point| has(&point.attributes, labels))?)
    }

    /// The value of a gauge.
    pub fn gauge(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let Data::Gauge(gauge) = self.metric(name)?.data.as_ref()? else { return None };
        number(gauge.data_points.iter().find(|point| has(&point.attributes, labels))?)
    }

    /// The values of a cumulative histogram.
    pub fn histogram(&self, name: &str, labels: &[(&str, &str)]) -> Option<&HistogramDataPoint> {
        let Data::Histogram(all) = self.metric(name)?.data.as_ref()? else { return None };
        let cumulative = all.aggregation_temporality == AggregationTemporality::Cumulative as i32;
        let points = cumulative.then_some(&all.data_points)?;
        points.iter().find(|point| has(&point.attributes, labels))
    }
}

fn has(attributes: &[KeyValue], labels: &[(&str, &str)]) -> bool {
    let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    texts(attributes) == labels.collect()
}

fn number(point: &NumberDataPoint) -> Option<f64> {
    match point.value? {
        number_data_point::Value::AsDouble(value) => Some(value),
        number_data_point::Value::AsInt(_) => None,
    }
}
