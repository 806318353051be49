//! Metrics in OpenMetrics text as a request of the OpenTelemetry protocol (OTLP).

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use metrics_text::{Family, NotASample, Sample, families};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

/// The name of the part that measures.
const SCOPE: &str = "doorbuster";

/// The period that cumulative values cover.
#[derive(Debug, Clone, Copy)]
pub struct Period {
    /// When the values were 0, in nanoseconds since 1970-01-01 UTC.
    pub start: u64,
    /// When the values were read, likewise.
    pub end: u64,
}

impl Period {
    /// From this time until now.
    pub fn since(start: SystemTime) -> Self {
        Self { start: nanoseconds(start), end: nanoseconds(SystemTime::now()) }
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Converts all metrics of the text. Their names are those of `/metrics`, including the `_total` of
/// counters.
pub fn request(
    text: &str,
    resource: Resource,
    period: Period,
) -> Result<ExportMetricsServiceRequest, NotASample> {
    let families = families(text)?;
    let scope = InstrumentationScope {
        name: SCOPE.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        ..InstrumentationScope::default()
    };
    let metrics = ScopeMetrics {
        scope: Some(scope),
        metrics: families.iter().map(|family| metric(family, period)).collect(),
        ..ScopeMetrics::default()
    };
    let resource = ResourceMetrics {
        resource: Some(resource),
        scope_metrics: vec![metrics],
        ..ResourceMetrics::default()
    };
    Ok(ExportMetricsServiceRequest { resource_metrics: vec![resource] })
}

fn metric(family: &Family<'_>, period: Period) -> Metric {
    let cumulative = AggregationTemporality::Cumulative.into();
    let (suffix, data) = match family.kind {
        "counter" => {
            let data_points = numbers(family, "_total", period);
            let sum = Sum { data_points, aggregation_temporality: cumulative, is_monotonic: true };
            ("_total", Data::Sum(sum))
        }
        "histogram" => {
            let data_points = histograms(family, period);
            let histogram = Histogram { data_points, aggregation_temporality: cumulative };
            ("", Data::Histogram(histogram))
        }
        // The value of a gauge is not about a period.
        _ => (
            "",
            Data::Gauge(Gauge { data_points: numbers(family, "", Period { start: 0, ..period }) }),
        ),
    };
    Metric {
        name: format!("{}{suffix}", family.name),
        description: family.help.into(),
        unit: unit(family.unit).into(),
        data: Some(data),
        ..Metric::default()
    }
}

/// The unit in the notation of OpenTelemetry, UCUM.
fn unit(unit: &str) -> &str {
    match unit {
        "seconds" => "s",
        "bytes" => "By",
        "ratios" => "1",
        other => other,
    }
}

/// The samples with this suffix.
fn numbers(family: &Family<'_>, suffix: &str, period: Period) -> Vec<NumberDataPoint> {
    let samples = family.samples.iter().filter(|(own, _)| *own == suffix);
    let point = |(_, sample): &(&str, Sample<'_>)| NumberDataPoint {
        attributes: attributes(sample.labels()),
        start_time_unix_nano: period.start,
        time_unix_nano: period.end,
        value: Some(Number::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    };
    samples.map(point).collect()
}

fn attributes<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<KeyValue> {
    let attribute = |(name, value): (&str, &str)| KeyValue {
        key: name.into(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.into())) }),
        ..KeyValue::default()
    };
    labels.into_iter().map(attribute).collect()
}

/// The label of a bucket with its upper bound.
const BOUND: &str = "le";

/// The samples of a histogram with the same labels.
#[derive(Default)]
struct Series {
    sum: f64,
    count: u64,
    /// The upper bounds, and the number of observations up to each.
    buckets: Vec<(f64, u64)>,
}

fn histograms(family: &Family<'_>, period: Period) -> Vec<HistogramDataPoint> {
    let mut all: BTreeMap<Vec<(&str, &str)>, Series> = BTreeMap::new();
    for (suffix, sample) in &family.samples {
        let labels = sample.labels().filter(|(name, _)| *name != BOUND).collect();
        let series = all.entry(labels).or_default();
        match *suffix {
            "_sum" => series.sum = sample.value,
            "_count" => series.count = sample.count(),
            "_bucket" => {
                let bound = sample.label(BOUND).parse().unwrap_or(f64::INFINITY);
                series.buckets.push((bound, sample.count()));
            }
            _ => {}
        }
    }
    all.into_iter().map(|(labels, series)| series.point(labels, period)).collect()
}

impl Series {
    fn point(mut self, labels: Vec<(&str, &str)>, period: Period) -> HistogramDataPoint {
        self.buckets.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        let (finite, _): (Vec<_>, Vec<_>) =
            self.buckets.into_iter().partition(|(bound, _)| bound.is_finite());
        // OTLP has one more bucket than bounds, each with its own observations only.
        let up_to = finite.iter().map(|(_, count)| *count).chain([self.count]);
        let mut below = 0;
        let bucket_counts: Vec<u64> = up_to
            .map(|count| {
                let own = count.saturating_sub(below);
                below = below.max(count);
                own
            })
            .collect();
        HistogramDataPoint {
            attributes: attributes(labels),
            start_time_unix_nano: period.start,
            time_unix_nano: period.end,
            // The protocol requires that it is the sum of the buckets.
            count: bucket_counts.iter().sum(),
            sum: Some(self.sum),
            bucket_counts,
            explicit_bounds: finite.into_iter().map(|(bound, _)| bound).collect(),
            ..HistogramDataPoint::default()
        }
    }
}

#[cfg(test)]
mod tests;
