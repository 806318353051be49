//! Reports when a collector begins to fail, and when it works again.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::collector::{Signal, TRACES};

/// Logs the first failure of a series, and its end.
#[derive(Debug)]
pub struct Watch {
    signal: &'static Signal,
    fails: AtomicBool,
}

impl Watch {
    /// Watches the export of this signal.
    pub fn new(signal: &'static Signal) -> Self {
        Self { signal, fails: AtomicBool::new(false) }
    }

    /// Reports the result of an export.
    pub fn observe<E: Display>(&self, result: &Result<(), E>) {
        let signal = self.signal.name;
        match (result, self.fails.swap(result.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::warn!(%error, "{signal} are lost: the collector does not accept them");
            }
            (Ok(()), true) => tracing::info!("the collector accepts {signal} again"),
            _ => {}
        }
    }

    #[cfg(test)]
    pub fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }
}

/// An exporter of spans that is watched.
#[derive(Debug)]
pub struct Watched<E> {
    exporter: E,
    watch: Watch,
}

impl<E> Watched<E> {
    /// Wraps this exporter.
    pub fn new(exporter: E) -> Self {
        Self { exporter, watch: Watch::new(&TRACES) }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.watch.observe(&result);
        result
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.exporter.force_flush()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_remembered_until_the_next_success() {
        let watch = Watch::new(&TRACES);
        watch.observe(&Err("refused"));
        assert!(watch.fails());
        watch.observe(&Ok::<(), String>(()));
        assert!(!watch.fails());
    }
}
