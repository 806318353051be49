//! The frame of a program: logs, traces and the runtime.

use anyhow::{Context as _, Result};

use crate::{Telemetry, shutdown};

/// Runs `work` on a new runtime, with logs and traces. `service` is the name of the service in
/// traces, unless `OTEL_SERVICE_NAME` is set.
pub fn run<T>(service: &'static str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let telemetry = Telemetry::start(service)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let ended = runtime.block_on(work);
    // After a signal during the start, the end does not wait for a component that is being
    // compiled.
    runtime.shutdown_timeout(shutdown::TASKS_LIMIT);
    telemetry.end();
    ended
}
