//! The frame of a program: logs, traces, metrics and the runtime.

use anyhow::{Context as _, Result};

use crate::{MetricsExport, Telemetry, shutdown};

/// Runs `work` on a new runtime, with logs and traces, and with the export of metrics if one is
/// configured. `service` is the name of the service in traces and metrics, unless a variable
/// contains one.
pub fn run<T, F: Future<Output = Result<T>>>(
    service: &'static str,
    work: impl FnOnce(Option<MetricsExport>) -> F,
) -> Result<T> {
    let mut telemetry = Telemetry::start(service)?;
    let work = work(telemetry.take_metrics());
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let ended = runtime.block_on(work);
    // After a signal during the start, the end does not wait for a component that is being
    // compiled.
    runtime.shutdown_timeout(shutdown::TASKS_LIMIT);
    telemetry.end();
    ended
}
