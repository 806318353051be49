//! Sends the metrics of the operator port to an OpenTelemetry collector.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Error, Result, ensure};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use tokio_util::task::AbortOnDropHandle;

use crate::collector::{
    EXPORT_TIMEOUT, INTERVAL, METRICS, Setting, first_of, metrics_are_wanted, number,
};
use crate::headers;
use crate::metrics_request::{Period, request};
use crate::watch::Watch;

/// The path of the collector, unless the variable for metrics contains the complete address.
const PATH: &str = "v1/metrics";

/// How often metrics are sent by default, in milliseconds.
const INTERVAL_MS: u64 = 60_000;

/// How long a request may take by default, in milliseconds.
const REQUEST_TIMEOUT_MS: u64 = 10_000;

/// How long an export may take by default, in milliseconds.
const EXPORT_TIMEOUT_MS: u64 = 30_000;

/// The longest request.
const REQUEST_BYTES_MAX: usize = 16 << 20;

/// How much of an answer is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How long sending the last metrics may take.
pub const LAST_METRICS_LIMIT: Duration = Duration::from_secs(1);

/// Encodes the metrics as OpenMetrics text.
pub type Source = Arc<dyn Fn() -> Result<String, fmt::Error> + Send + Sync>;

/// Where, when and how metrics are sent.
pub struct MetricsExport {
    client: Client,
    address: Url,
    headers: HeaderMap,
    interval: Duration,
    resource: Resource,
    start: SystemTime,
    watch: Watch,
}

impl MetricsExport {
    /// Reads the settings; `None` if no metrics are to be sent. The error names the variable that is
    /// wrong. The values of all counters must be 0 at the time of this call.
    pub fn new(
        setting: impl Setting,
        resource: impl FnOnce() -> Result<opentelemetry_sdk::Resource, String>,
    ) -> Result<Option<Self>, String> {
        if !metrics_are_wanted(&setting)? {
            return Ok(None);
        }
        let Some(address) = address(&setting)? else { return Ok(None) };
        let interval = milliseconds(INTERVAL, &setting)?.unwrap_or(INTERVAL_MS);
        let client = Client::builder()
            .timeout(timeout(&setting)?)
            // After a redirection the request would be a GET without the metrics.
            .redirect(Policy::none())
            .user_agent(concat!("doorbuster/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Some(Self {
            client: client.map_err(|error| format!("the HTTP client: {error}"))?,
            address,
            headers: headers::read(&METRICS, &setting)?,
            interval: Duration::from_millis(interval),
            resource: (&resource()?).into(),
            start: SystemTime::now(),
            watch: Watch::new(&METRICS),
        }))
    }

    /// Sends the metrics in intervals, on the current runtime.
    pub fn start(self, source: Source) -> RunningExport {
        let export = Arc::new(self);
        let periodic = tokio::spawn(export.clone().run(source.clone()));
        RunningExport { export, source, periodic: AbortOnDropHandle::new(periodic) }
    }

    async fn run(self: Arc<Self>, source: Source) {
        loop {
            tokio::time::sleep(self.interval).await;
            // A failed request is not repeated: the next one contains the same counts and more.
            let sent = self.send(&source).await.map_err(|error| format!("{error:#}"));
            self.watch.observe(&sent);
        }
    }

    async fn send(&self, source: &Source) -> Result<()> {
        let text = source().context("the metrics cannot be encoded")?;
        let request = request(&text, self.resource.clone(), Period::since(self.start))?;
        let body = request.encode_to_vec();
        let length = body.len();
        ensure!(
            length <= REQUEST_BYTES_MAX,
            "the metrics have {length} bytes, more than {REQUEST_BYTES_MAX}"
        );
        let request = self.client.post(self.address.clone()).headers(self.headers.clone());
        let request = request.header(CONTENT_TYPE, "application/x-protobuf").body(body);
        // The address may contain a password.
        let answer = request.send().await.map_err(|error| Error::new(error.without_url()))?;
        let status = answer.status();
        ensure!(status.is_success(), "its answer is {status}");
        refused(answer).await
    }
}

/// Fails if the collector accepted the request but not all of its values. An answer in another
/// format says nothing about that.
async fn refused(mut answer: Response) -> Result<()> {
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| Error::new(error.without_url()))? {
        if body.len() + part.len() > ANSWER_BYTES_MAX {
            return Ok(());
        }
        body.extend_from_slice(&part);
    }
    let answer = ExportMetricsServiceResponse::decode(&*body).unwrap_or_default();
    let refused = answer.partial_success.unwrap_or_default();
    let (values, reason) = (refused.rejected_data_points, refused.error_message);
    ensure!(values <= 0, "it refused {values} values: {reason}");
    Ok(())
}

/// The address for metrics; `None` if no collector is configured.
fn address(setting: impl Setting) -> Result<Option<Url>, String> {
    let Some((name, value)) = first_of(METRICS.endpoints, setting)? else { return Ok(None) };
    let is_complete = METRICS.endpoints.first() == Some(&name);
    let value = if is_complete { value } else { format!("{}/{PATH}", value.trim_end_matches('/')) };
    // The value may contain a password.
    let address = Url::parse(&value).map_err(|error| format!("{name}: {error}"))?;
    match address.scheme() {
        "http" | "https" => Ok(Some(address)),
        _ => Err(format!("{name}: must begin with http:// or https://")),
    }
}

/// How long a request may take.
fn timeout(setting: impl Setting) -> Result<Duration, String> {
    let request = match first_of(METRICS.timeouts, &setting)? {
        Some((name, _)) => milliseconds(name, &setting)?,
        None => None,
    };
    let request = request.unwrap_or(REQUEST_TIMEOUT_MS);
    let export = milliseconds(EXPORT_TIMEOUT, &setting)?.unwrap_or(EXPORT_TIMEOUT_MS);
    Ok(Duration::from_millis(request.min(export)))
}

/// The value of a variable with a time.
fn milliseconds(name: &str, setting: impl Setting) -> Result<Option<u64>, String> {
    match number(name, setting)? {
        Some(0) => Err(format!("{name}=0: must be greater than 0")),
        value => Ok(value),
    }
}

/// Metrics that are sent until the end.
pub struct RunningExport {
    export: Arc<MetricsExport>,
    source: Source,
    periodic: AbortOnDropHandle<()>,
}

impl RunningExport {
    /// Sends the final values.
    pub async fn end(self) {
        drop(self.periodic);
        let sent = tokio::time::timeout(LAST_METRICS_LIMIT, self.export.send(&self.source));
        if let Err(error) = sent.await.context("the collector did not answer in time").flatten() {
            tracing::warn!("the last metrics were not sent: {error:#}");
        }
    }
}

#[cfg(test)]
mod tests;
