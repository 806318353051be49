//! Logs to standard error, and traces and metrics to an OpenTelemetry collector if one is
//! configured.

use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Error, Result, bail};
use kafka_trigger::TRACE_TARGET;
use opentelemetry::Key;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::resource::EnvResourceDetector;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::MetricsExport;
use crate::collector::traces_are_wanted;
use crate::environment::setting;
use crate::watch::Watched;

/// The variable that selects what is logged.
const FILTER: &str = "RUST_LOG";

/// The variable that selects the format of the log.
const FORMAT: &str = "DOORBUSTER_LOG";

/// How long sending the last traces may take.
pub const LAST_TRACES_LIMIT: Duration = Duration::from_secs(2);

/// The traces that have to be sent before the program ends, and the export of metrics until it is
/// taken.
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    metrics: Option<MetricsExport>,
}

impl Telemetry {
    /// Starts logging and tracing. `RUST_LOG` selects what is logged, `info` by default;
    /// `DOORBUSTER_LOG` selects the format, `text` or `json`. `service` is the name of the service
    /// if no variable contains one. Fails if one of these variables has an invalid value. If an
    /// exporter cannot be set up, the program continues without traces or metrics.
    pub fn start(service: &'static str) -> Result<Self> {
        let filter = filter(setting(FILTER).map_err(Error::msg)?)?;
        let json = is_json(setting(FORMAT).map_err(Error::msg)?)?;
        let traces = tracer_provider(service);
        let metrics = MetricsExport::new(setting, || resource(service));
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
        match traces.as_ref().ok().and_then(Option::as_ref) {
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
        // The application works without traces and metrics.
        let log_traces = |error: &String| tracing::error!(error, "no traces are sent");
        let log_metrics = |error: &String| tracing::error!(error, "no metrics are sent");
        Ok(Self {
            traces: traces.inspect_err(log_traces).unwrap_or_default(),
            metrics: metrics.inspect_err(log_metrics).unwrap_or_default(),
        })
    }

    /// The export of metrics, if one is configured. Only the first call returns it.
    pub fn take_metrics(&mut self) -> Option<MetricsExport> {
        self.metrics.take()
    }

    /// Sends the remaining traces.
    pub fn end(self) {
        if let Some(Err(error)) =
            self.traces.map(|provider| provider.shutdown_with_timeout(LAST_TRACES_LIMIT))
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

/// lapin logs each message that RabbitMQ returns, with its body, as a warning, and tokio-postgres each
/// notice of a server, which a statement of a component may have caused, as information. Directives of
/// the user for these targets have priority.
const PRESETS: [&str; 2] = ["lapin::returned_messages=error", "tokio_postgres=warn"];

fn filter(value: Option<String>) -> Result<EnvFilter> {
    let value = value.unwrap_or_else(|| "info".into());
    // An empty value means errors only, which is not so if there is any directive.
    let directives = match value.as_str() {
        "" => "error",
        value => value,
    };
    let presets = PRESETS.join(",");
    EnvFilter::builder().parse(format!("{presets},{directives}")).map_err(|error| {
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
    if !traces_are_wanted(setting)? {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build().map_err(|e| e.to_string())?;
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(Watched::new(exporter))
        .with_resource(resource(service)?)
        .build();
    Ok(Some(provider))
}

/// What the traces and metrics are about. The name of the service is that of `OTEL_SERVICE_NAME`,
/// else that of `OTEL_RESOURCE_ATTRIBUTES`, else `service`.
fn resource(service: &'static str) -> Result<Resource, String> {
    let variable = Resource::builder_empty().with_detector(Box::new(EnvResourceDetector::new()));
    let name = match setting("OTEL_SERVICE_NAME")? {
        Some(name) => name.into(),
        None => {
            let name = variable.build().get(&Key::from_static_str("service.name"));
            name.unwrap_or_else(|| service.into())
        }
    };
    Ok(Resource::builder().with_service_name(name).build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_values_are_refused_with_the_name_of_the_variable() {
        for value in [None, Some("debug"), Some("info,hyper=warn")] {
            let filter = filter(value.map(Into::into)).unwrap().to_string();
            assert!(PRESETS.iter().all(|preset| filter.contains(preset)), "{filter}");
        }
        for (value, preset) in [
            ("lapin::returned_messages=warn", PRESETS[0]),
            ("info,lapin::returned_messages=warn", PRESETS[0]),
            ("tokio_postgres=info", PRESETS[1]),
        ] {
            let filter = filter(Some(value.into())).unwrap().to_string();
            assert!(!filter.contains(preset), "{filter}");
        }
        let fault = filter(Some("nonsense==".into())).unwrap_err().to_string();
        assert!(fault.contains("RUST_LOG=nonsense=="), "{fault}");
        assert!(!is_json(None).unwrap() && is_json(Some("json".into())).unwrap());
        let fault = is_json(Some("xml".into())).unwrap_err().to_string();
        assert!(fault.contains("DOORBUSTER_LOG=xml"), "{fault}");
    }
}
