//! Logs to standard error, and traces to an OpenTelemetry collector if one is configured.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Error, Result, bail};
use kafka_trigger::TRACE_TARGET;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::collector::{self, Watched};
use crate::environment::setting;

/// The variable that selects what is logged.
const FILTER: &str = "RUST_LOG";

/// The variable that selects the format of the log.
const FORMAT: &str = "DOORBUSTER_LOG";

/// How long sending the last traces may take.
pub const LAST_TRACES_LIMIT: Duration = Duration::from_secs(2);

/// The traces that have to be sent before the program ends.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// Starts logging and tracing. `RUST_LOG` selects what is logged, `info` by default;
    /// `DOORBUSTER_LOG` selects the format, `text` or `json`. `service` is the name of the service
    /// if `OTEL_SERVICE_NAME` is not set. Fails if one of these variables has an invalid value. If
    /// the exporter cannot be set up, the program continues without traces.
    pub fn start(service: &'static str) -> Result<Self> {
        let filter = filter(setting(FILTER).map_err(Error::msg)?)?;
        let json = is_json(setting(FORMAT).map_err(Error::msg)?)?;
        let (traces, fault) = match tracer_provider(service) {
            Ok(traces) => (traces, None),
            Err(error) => (None, Some(error)),
        };
        let terminal = std::io::stderr().is_terminal();
        // Log lines that cannot be written are dropped: reporting that on the same standard error
        // would panic.
        let log = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .log_internal_errors(false)
            .with_ansi(terminal);
        let log = if json { log.json().flatten_event(true).boxed() } else { log.boxed() };
        // A filter for each layer makes every log call in the process slower, including those of
        // libraries. So if there is no collector, one filter applies to all layers.
        match &traces {
            None => tracing_subscriber::registry().with(log).with(filter).init(),
            Some(provider) => {
                let spans = tracing_opentelemetry::layer().with_tracer(provider.tracer(service));
                let traced = Targets::new().with_target(TRACE_TARGET, Level::TRACE);
                tracing_subscriber::registry()
                    .with(log.with_filter(filter))
                    .with(spans.with_filter(traced))
                    .init();
            }
        }
        // The application works without traces.
        if let Some(error) = fault {
            tracing::error!(error, "no traces are sent");
        }
        Ok(Self(traces))
    }

    /// Sends the remaining traces.
    pub fn end(self) {
        if let Some(Err(error)) =
            self.0.map(|provider| provider.shutdown_with_timeout(LAST_TRACES_LIMIT))
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn filter(value: Option<String>) -> Result<EnvFilter> {
    let value = value.unwrap_or_else(|| "info".into());
    EnvFilter::builder().parse(&value).map_err(|error| {
        let message = format!("{FILTER}={value}: {error}; write a level, or TARGET=LEVEL");
        Error::msg(message)
    })
}

fn is_json(value: Option<String>) -> Result<bool> {
    match value.as_deref() {
        None | Some("text") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => bail!("{FORMAT}={other}: must be `text` or `json`"),
    }
}

fn tracer_provider(service: &'static str) -> Result<Option<SdkTracerProvider>, String> {
    if !collector::is_wanted(setting)? {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build().map_err(|e| e.to_string())?;
    let mut resource = Resource::builder();
    if setting("OTEL_SERVICE_NAME")?.is_none() {
        resource = resource.with_attribute(KeyValue::new("service.name", service));
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Watched::new(exporter))
        .with_resource(resource.build())
        .build();
    Ok(Some(provider))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_values_are_refused_with_the_name_of_the_variable() {
        for value in [None, Some("debug"), Some("info,hyper=warn")] {
            assert!(filter(value.map(Into::into)).is_ok(), "{value:?}");
        }
        let fault = filter(Some("nonsense==".into())).unwrap_err().to_string();
        assert!(fault.contains("RUST_LOG=nonsense=="), "{fault}");
        assert!(!is_json(None).unwrap() && is_json(Some("json".into())).unwrap());
        let fault = is_json(Some("xml".into())).unwrap_err().to_string();
        assert!(fault.contains("DOORBUSTER_LOG=xml"), "{fault}");
    }
}
