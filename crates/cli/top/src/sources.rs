//! Reads the sources: the read API, and the metrics and the readiness of each process.

use std::sync::Arc;

use hyper::StatusCode;

use crate::args::Base;
use crate::client::Client;
use crate::error::FetchError;
use crate::metrics::Metrics;
use crate::snapshot::Snapshot;

/// The paths that are read.
const SNAPSHOT: &str = "/api/v1/snapshot";
const METRICS: &str = "/metrics";
const READINESS: &str = "/readyz";

/// Maximum sizes of the responses, in bytes. A snapshot has 33 products and 300 prices. Metrics
/// have a few kilobytes for each component and a few hundred bytes for each partition. Readiness
/// has a line for each problem.
const SNAPSHOT_BYTES_MAX: usize = 1 << 20;
const METRICS_BYTES_MAX: usize = 8 << 20;
const READINESS_BYTES_MAX: usize = 64 << 10;

/// Where the figures come from. Cheap to clone.
#[derive(Clone)]
pub struct Sources {
    client: Client,
    bases: Arc<Bases>,
}

struct Bases {
    app: Base,
    operators: Vec<Base>,
}

/// One thing that is read. The numbers are those of the processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The figures of the sales.
    Snapshot,
    /// The metrics of a process.
    Metrics(usize),
    /// Whether a process is ready.
    Readiness(usize),
}

/// The answer of a source.
#[derive(Debug)]
pub enum Update {
    /// The figures of the sales.
    Snapshot(Result<Snapshot, FetchError>),
    /// The metrics of a process.
    Metrics(usize, Result<Metrics, FetchError>),
    /// The problems that prevent a process from being ready.
    Readiness(usize, Result<Vec<String>, FetchError>),
}

impl Sources {
    /// An application and the operator ports of its processes.
    pub fn new(app: Base, operators: Vec<Base>) -> Self {
        Self { client: Client::new(), bases: Arc::new(Bases { app, operators }) }
    }

    /// The application.
    pub fn app(&self) -> &Base {
        &self.bases.app
    }

    /// The operator ports.
    pub fn operators(&self) -> &[Base] {
        &self.bases.operators
    }

    /// Everything that can be read.
    pub fn all(&self) -> impl Iterator<Item = Source> + use<> {
        let processes = 0..self.bases.operators.len();
        let of_processes = processes.flat_map(|at| [Source::Metrics(at), Source::Readiness(at)]);
        std::iter::once(Source::Snapshot).chain(of_processes)
    }

    /// Reads a source.
    pub async fn read(&self, source: Source) -> Update {
        match source {
            Source::Snapshot => Update::Snapshot(self.snapshot().await),
            Source::Metrics(at) => Update::Metrics(at, self.metrics(at).await),
            Source::Readiness(at) => Update::Readiness(at, self.readiness(at).await),
        }
    }

    async fn snapshot(&self) -> Result<Snapshot, FetchError> {
        let url = self.bases.app.with_path(SNAPSHOT);
        let answer = self.client.get(&url, SNAPSHOT_BYTES_MAX).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.unexpected_status());
        }
        serde_json::from_slice(&answer.body).map_err(|error| FetchError::Unexpected {
            expected: "a snapshot of the read API",
            reason: error.to_string(),
        })
    }

    async fn metrics(&self, at: usize) -> Result<Metrics, FetchError> {
        let answer = self.client.get(&self.operator(at, METRICS), METRICS_BYTES_MAX).await?;
        if answer.status != StatusCode::OK {
            return Err(answer.unexpected_status());
        }
        let unexpected = |reason| FetchError::Unexpected {
            expected: "metrics in the text format of Prometheus",
            reason,
        };
        let text = str::from_utf8(&answer.body).map_err(|error| unexpected(error.to_string()))?;
        Metrics::read(text).map_err(|error| unexpected(error.to_string()))
    }

    async fn readiness(&self, at: usize) -> Result<Vec<String>, FetchError> {
        let answer = self.client.get(&self.operator(at, READINESS), READINESS_BYTES_MAX).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let problems: Vec<_> = text.lines().map(str::to_owned).collect();
        match answer.status {
            StatusCode::OK => Ok(Vec::new()),
            StatusCode::SERVICE_UNAVAILABLE if !problems.is_empty() => Ok(problems),
            _ => Err(answer.unexpected_status()),
        }
    }

    fn operator(&self, at: usize, path: &str) -> String {
        self.bases.operators.get(at).map(|base| base.with_path(path)).unwrap_or_default()
    }
}
