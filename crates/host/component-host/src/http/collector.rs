//! The metrics of the HTTP components in the format of OpenMetrics, with the prefix `spin_http_`.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

use super::metrics::{HttpMetrics, ServiceMetrics};
use super::problem::Problem;

/// Registers the metrics. The values are read when the registry is encoded.
pub(super) fn register(metrics: HttpMetrics, registry: &mut Registry) {
    let registry = registry.sub_registry_with_prefix("spin_http");
    registry.register_collector(Box::new(metrics));
}

// Each metric is encoded once, with the values of all components: the format does not allow that
// the values of a metric are separated.
impl Collector for HttpMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        // Without HTTP components there is no server for them.
        if self.services.is_empty() {
            return Ok(());
        }
        self.encode_requests(&mut encoder)?;
        self.encode_refusals(&mut encoder)?;
        self.encode_durations(&mut encoder)?;
        for (name, help, counter) in COUNTERS {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (component, service) in &self.services {
                let label = [("component", &**component)];
                encode_count(&mut family, &label, counter(service).get())?;
            }
        }
        for (name, help, value) in GAUGES {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (component, service) in &self.services {
                let label = [("component", &**component)];
                ConstGauge::new(value(service)).encode(family.encode_family(&label)?)?;
            }
        }
        self.encode_unrouted(&mut encoder)
    }
}

/// Name, help and value of a counter.
type ServiceCounter = (&'static str, &'static str, fn(&ServiceMetrics) -> &Counter);

const COUNTERS: [ServiceCounter; 2] = [
    ("abandoned_requests", "Requests whose caller left before the answer", |service| {
        &service.abandoned
    }),
    ("interrupted_answers", "Streamed answers that the component did not complete", |service| {
        &service.interrupted
    }),
];

/// Name, help and value of a gauge.
type ServiceGauge = (&'static str, &'static str, fn(&ServiceMetrics) -> i64);

const GAUGES: [ServiceGauge; 3] = [
    ("requests_in_progress", "Requests whose answer is not complete", |service| {
        i64::try_from(service.permits.taken()).unwrap_or(i64::MAX)
    }),
    ("requests_waiting", "Requests that wait for an instance", |service| {
        service.pool.waiting.get()
    }),
    ("instances", "Instances, including those that are being created", |service| {
        service.pool.instances.get()
    }),
];

impl HttpMetrics {
    fn encode_requests(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Answered requests";
        let mut family = encoder.encode_descriptor("requests", help, None, MetricType::Counter)?;
        for (component, service) in &self.services {
            for (code, count) in service.answers() {
                let code = code.to_string();
                let labels = [("component", &**component), ("code", &*code)];
                encode_count(&mut family, &labels, count)?;
            }
        }
        Ok(())
    }

    fn encode_refusals(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Requests that the host answered instead of the component";
        let mut family = encoder.encode_descriptor("refusals", help, None, MetricType::Counter)?;
        for (component, service) in &self.services {
            for (problem, count) in service.refusals.counts().filter(|(p, _)| p.is_of_component()) {
                let labels = [("component", &**component), ("problem", problem.name())];
                encode_count(&mut family, &labels, count)?;
            }
        }
        Ok(())
    }

    fn encode_durations(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Time from the arrival of a request until the head of its answer is ready";
        let (unit, kind) = (Unit::Seconds, MetricType::Histogram);
        let mut family = encoder.encode_descriptor("request_duration", help, Some(&unit), kind)?;
        for (component, service) in &self.services {
            let label = [("component", &**component)];
            service.durations.encode(family.encode_family(&label)?)?;
        }
        Ok(())
    }

    fn encode_unrouted(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let (name, help) = ("unrouted_requests", "Requests answered before they had a component");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        let is_unrouted = |(problem, _): &(Problem, u64)| !problem.is_of_component();
        for (problem, count) in self.unrouted.counts().filter(is_unrouted) {
            encode_count(&mut family, &[("problem", problem.name())], count)?;
        }
        Ok(())
    }
}

fn encode_count<const N: usize>(
    family: &mut MetricEncoder<'_>,
    labels: &[(&str, &str); N],
    count: u64,
) -> fmt::Result {
    ConstCounter::new(count).encode(family.encode_family(labels)?)
}

#[cfg(test)]
mod tests;
