//! Logs on stderr, and traces to an OpenTelemetry collector if one is named.

use std::io::IsTerminal as _;

use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Level;
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use trigger_kafka::TRACE_TARGET;

/// Variables of OpenTelemetry that name a collector. The exporter reads these and the others
/// of its specification (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, headers) itself.
const COLLECTOR: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// What must go out before the program ends.
pub struct Telemetry(Option<SdkTracerProvider>);

impl Telemetry {
    /// `RUST_LOG` chooses what is logged, `info` by default; `DOORBUSTER_LOG=json` how.
    /// `service` is its name without `OTEL_SERVICE_NAME`.
    pub fn start(service: &'static str) -> Self {
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
        let terminal = std::io::stderr().is_terminal();
        // What cannot be written is lost: to say so on the same standard error would panic.
        let log = tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .log_internal_errors(false)
            .with_ansi(terminal);
        let log = match std::env::var("DOORBUSTER_LOG").as_deref() {
            Ok("json") => log.json().flatten_event(true).boxed(),
            _ => log.boxed(),
        };
        let (traces, fault) = match tracer_provider(service) {
            Ok(traces) => (traces, None),
            Err(error) => (None, Some(error)),
        };
        // Filters of single layers cost every library of the process something: without a
        // collector there is but the one of all.
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
        if let Some(error) = fault {
            tracing::error!(error, "no traces: the exporter cannot be set up");
        }
        Self(traces)
    }

    /// Sends what was gathered.
    pub fn end(self) {
        if let Some(Err(error)) = self.0.map(|provider| provider.shutdown()) {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }
}

fn tracer_provider(service: &'static str) -> Result<Option<SdkTracerProvider>, String> {
    if COLLECTOR.iter().all(|name| std::env::var_os(name).is_none()) {
        return Ok(None);
    }
    let exporter = SpanExporter::builder().with_http().build().map_err(|e| e.to_string())?;
    let mut resource = Resource::builder();
    if std::env::var_os("OTEL_SERVICE_NAME").is_none() {
        resource = resource.with_attribute(KeyValue::new("service.name", service));
    }
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build();
    Ok(Some(provider))
}
