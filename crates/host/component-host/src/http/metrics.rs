//! What is counted of the requests. Counting a request takes no lock and allocates nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tokio::time::Instant;

use super::durations::Durations;
use super::permits::Permits;
use super::problem::Problem;

/// The lowest status code, and the number of status codes that `http` allows.
const FIRST_CODE: u16 = 100;
const CODES: usize = 900;

/// What is counted of the requests of one component, from its first build on.
#[derive(Debug)]
pub(super) struct ServiceMetrics {
    answers: [AtomicU64; CODES],
    /// Requests whose caller left before they were answered.
    pub abandoned: Counter,
    /// Streamed answers that their component did not complete.
    pub interrupted: Counter,
    /// Answers that the host gave instead of the component.
    pub refusals: Refusals,
    pub durations: Durations,
    /// The permits of the requests in progress.
    pub permits: Permits,
    pub pool: PoolGauges,
}

/// What the pools of one component have at this moment. After the component was replaced by another
/// build, the requests and instances of both builds count.
#[derive(Debug, Clone, Default)]
pub(super) struct PoolGauges {
    /// Requests that wait for an instance.
    pub waiting: Gauge,
    /// Instances, including those that are being created.
    pub instances: Gauge,
    /// Instances that handle requests, or continue to work after the answers.
    pub working: Gauge,
}

impl ServiceMetrics {
    /// Counts from zero.
    pub fn new(permits: Permits) -> Self {
        Self {
            answers: [const { AtomicU64::new(0) }; CODES],
            abandoned: Counter::default(),
            interrupted: Counter::default(),
            refusals: Refusals::default(),
            durations: Durations::default(),
            permits,
            pool: PoolGauges::default(),
        }
    }

    /// A request arrived. If the returned value is dropped without an answer, its caller has left.
    pub fn arrived(&self) -> Arrival<'_> {
        Arrival { metrics: self, since: Instant::now(), is_answered: false }
    }

    /// The number of answers for each status code that was used.
    pub fn answers(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self.answers.iter().map(|count| count.load(Ordering::Relaxed));
        (FIRST_CODE..).zip(counts).filter(|(_, count)| *count > 0)
    }
}

/// A request that is not answered yet.
pub(super) struct Arrival<'a> {
    metrics: &'a ServiceMetrics,
    since: Instant,
    is_answered: bool,
}

impl Arrival<'_> {
    /// The head of the answer is ready.
    pub fn answered(mut self, status: StatusCode) {
        self.is_answered = true;
        let code = usize::from(status.as_u16().saturating_sub(FIRST_CODE));
        if let Some(count) = self.metrics.answers.get(code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.metrics.durations.add(self.since.elapsed());
    }
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.metrics.abandoned.inc();
        }
    }
}

/// Counts the answers of the host by their problem.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Problem::ALL.len()]);

impl Refusals {
    pub(super) fn count(&self, problem: Problem) {
        if let Some(count) = self.0.get(problem as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The number of answers for each problem.
    pub(super) fn counts(&self) -> impl Iterator<Item = (Problem, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        Problem::ALL.into_iter().zip(counts)
    }
}

/// Counts in a gauge until it is dropped.
pub(super) struct Counted(Gauge);

impl Counted {
    pub fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The metrics of the HTTP components of an application.
#[derive(Debug, Clone, Default)]
pub(super) struct HttpMetrics {
    /// By the component's id.
    pub services: Vec<(Arc<str>, Arc<ServiceMetrics>)>,
    /// Requests that the host answered before they reached a component.
    pub unrouted: Arc<Refusals>,
}
