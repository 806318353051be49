//! The export of traces to an OpenTelemetry collector.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

/// OpenTelemetry's variables for the address of the collector. The exporter itself reads these and
/// the other variables of its specification (`OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER`, headers).
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// OpenTelemetry's variables for the protocol. The first one takes precedence.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];

const DISABLED: &str = "OTEL_SDK_DISABLED";
const EXPORTER: &str = "OTEL_TRACES_EXPORTER";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";

/// Variables that the library ignores unless their values are numbers.
const NUMBERS: [&str; 6] = [
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_BSP_MAX_QUEUE_SIZE",
    "OTEL_BSP_SCHEDULE_DELAY",
    "OTEL_EXPORTER_OTLP_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
];

/// Whether traces are to be exported. The error names a setting that this program does not support.
/// `setting` returns the value of a variable.
pub fn is_wanted(setting: impl Fn(&str) -> Result<Option<String>, String>) -> Result<bool, String> {
    if setting(DISABLED)?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(false);
    }
    match setting(EXPORTER)?.as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(false),
        Some(other) => return Err(format!("{EXPORTER}={other}: must be `otlp` or `none`")),
    }
    if ENDPOINTS
        .into_iter()
        .map(&setting)
        .collect::<Result<Vec<_>, _>>()?
        .iter()
        .all(Option::is_none)
    {
        return Ok(false);
    }
    for name in PROTOCOLS {
        match setting(name)?.as_deref() {
            None => {}
            Some("http/protobuf") => break,
            Some(other) => {
                return Err(format!(
                    "{name}={other}: this program sends traces by `http/protobuf` only"
                ));
            }
        }
    }
    check_sampler(&setting)?;
    NUMBERS.into_iter().try_for_each(|name| match setting(name)? {
        Some(value) if value.parse::<u64>().is_err() => {
            Err(format!("{name}={value}: must be a whole number"))
        }
        _ => Ok(()),
    })?;
    Ok(true)
}

/// Rejects a sampler that the library does not know, because the library would use its default
/// instead.
fn check_sampler(setting: impl Fn(&str) -> Result<Option<String>, String>) -> Result<(), String> {
    let Some(sampler) = setting(SAMPLER)? else { return Ok(()) };
    let kind = sampler.strip_prefix("parentbased_").unwrap_or(&sampler);
    match kind {
        "always_on" | "always_off" => Ok(()),
        "traceidratio" => match setting(SAMPLER_ARG)? {
            Some(ratio)
                if !ratio.parse::<f64>().is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)) =>
            {
                Err(format!("{SAMPLER_ARG}={ratio}: must be a number from 0 to 1"))
            }
            _ => Ok(()),
        },
        _ => Err(format!(
            "{SAMPLER}={sampler}: must be always_on, always_off or traceidratio, each also with \
             parentbased_ before it"
        )),
    }
}

/// An exporter that logs when the collector begins to fail, and when it works again.
#[derive(Debug)]
pub struct Watched<E> {
    exporter: E,
    fails: AtomicBool,
}

impl<E> Watched<E> {
    /// Wraps this exporter.
    pub fn new(exporter: E) -> Self {
        Self { exporter, fails: AtomicBool::new(false) }
    }

    fn watch(&self, result: &OTelSdkResult) {
        match (result, self.fails.swap(result.is_err(), Ordering::Relaxed)) {
            (Err(error), false) => {
                tracing::warn!(%error, "traces are lost: the collector does not accept them");
            }
            (Ok(()), true) => tracing::info!("the collector accepts traces again"),
            _ => {}
        }
    }
}

impl<E: SpanExporter> SpanExporter for Watched<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let result = self.exporter.export(batch).await;
        self.watch(&result);
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

    fn wanted(set: &[(&str, &str)]) -> Result<bool, String> {
        is_wanted(|name| {
            let found = set.iter().find(|(other, _)| *other == name);
            Ok(found.map(|(_, value)| (*value).to_owned()))
        })
    }

    #[test]
    fn the_variables_decide_whether_traces_are_sent() {
        let here = (ENDPOINTS[1], "http://127.0.0.1:4318");
        for (set, expected) in [
            (vec![], false),
            (vec![here], true),
            (vec![(ENDPOINTS[0], "http://127.0.0.1:4318/v1/traces")], true),
            (vec![here, (DISABLED, "true")], false),
            (vec![here, (DISABLED, "TRUE")], false),
            (vec![here, (DISABLED, "false")], true),
            (vec![here, (EXPORTER, "none")], false),
            (vec![here, (EXPORTER, "otlp")], true),
            (vec![here, (PROTOCOLS[1], "http/protobuf")], true),
            (vec![here, (PROTOCOLS[0], "http/protobuf"), (PROTOCOLS[1], "grpc")], true),
            (vec![(PROTOCOLS[1], "grpc")], false),
            (vec![here, (SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARG, "0.1")], true),
            (vec![here, (SAMPLER, "always_off")], true),
            (vec![here, (NUMBERS[4], "5000")], true),
        ] {
            assert_eq!(wanted(&set), Ok(expected), "{set:?}");
        }
        for other in [
            (PROTOCOLS[1], "grpc"),
            (PROTOCOLS[0], "http/json"),
            (EXPORTER, "zipkin"),
            (SAMPLER, "sometimes"),
            (NUMBERS[4], "5s"),
        ] {
            let fault = wanted(&[here, other]).unwrap_err();
            assert!(fault.contains(other.0) && fault.contains(other.1), "{fault}");
        }
        let fault = wanted(&[here, (SAMPLER, "traceidratio"), (SAMPLER_ARG, "10%")]).unwrap_err();
        assert!(fault.contains("OTEL_TRACES_SAMPLER_ARG=10%"), "{fault}");
    }

    #[test]
    fn a_failure_is_logged_once() {
        let watched = Watched::new(());
        watched.watch(&Err(opentelemetry_sdk::error::OTelSdkError::AlreadyShutdown));
        assert!(watched.fails.load(Ordering::Relaxed));
        watched.watch(&Ok(()));
        assert!(!watched.fails.load(Ordering::Relaxed));
    }
}
