//! The settings of the export to an OpenTelemetry collector, for traces and for metrics.

use crate::headers;

const DISABLED: &str = "OTEL_SDK_DISABLED";
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const PROTOCOL: &str = "OTEL_EXPORTER_OTLP_PROTOCOL";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const TEMPORALITY: &str = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE";

/// How often metrics are sent, in milliseconds.
pub const INTERVAL: &str = "OTEL_METRIC_EXPORT_INTERVAL";

/// How long sending metrics may take, in milliseconds.
pub const EXPORT_TIMEOUT: &str = "OTEL_METRIC_EXPORT_TIMEOUT";

/// What is exported, with OpenTelemetry's variables for it. Of two variables with the same meaning,
/// the first one takes precedence.
#[derive(Debug)]
pub struct Signal {
    /// The word for it in messages.
    pub name: &'static str,
    exporter: &'static str,
    /// The addresses of the collector.
    pub endpoints: [&'static str; 2],
    protocols: [&'static str; 2],
    /// Additional headers of the requests.
    pub headers: [&'static str; 2],
    /// How long a request may take, in milliseconds.
    pub timeouts: [&'static str; 2],
    /// Other variables whose values are numbers.
    numbers: &'static [&'static str],
}

/// The library reads these variables itself, and ignores invalid values.
pub static TRACES: Signal = Signal {
    name: "traces",
    exporter: "OTEL_TRACES_EXPORTER",
    endpoints: ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", ENDPOINT],
    protocols: ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", PROTOCOL],
    headers: ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", HEADERS],
    timeouts: ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", TIMEOUT],
    numbers: &[
        "OTEL_BSP_EXPORT_TIMEOUT",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "OTEL_BSP_SCHEDULE_DELAY",
    ],
};

/// The variables for metrics.
pub static METRICS: Signal = Signal {
    name: "metrics",
    exporter: "OTEL_METRICS_EXPORTER",
    endpoints: ["OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", ENDPOINT],
    protocols: ["OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", PROTOCOL],
    headers: ["OTEL_EXPORTER_OTLP_METRICS_HEADERS", HEADERS],
    timeouts: ["OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", TIMEOUT],
    numbers: &[INTERVAL, EXPORT_TIMEOUT],
};

/// Returns the value of a variable; `None` if it is not set.
pub trait Setting: Fn(&str) -> Result<Option<String>, String> {}

impl<F: Fn(&str) -> Result<Option<String>, String>> Setting for F {}

/// Whether traces are to be exported. The error names a setting that this program does not support.
pub fn traces_are_wanted(setting: impl Setting) -> Result<bool, String> {
    let wanted = TRACES.is_wanted(&setting)?;
    if wanted {
        check_sampler(&setting)?;
    }
    Ok(wanted)
}

/// Whether metrics are to be exported. The error names a setting that this program does not
/// support.
pub fn metrics_are_wanted(setting: impl Setting) -> Result<bool, String> {
    let wanted = METRICS.is_wanted(&setting)?;
    if !wanted {
        return Ok(false);
    }
    match setting(TEMPORALITY)?.as_deref() {
        None => Ok(true),
        Some(value) if value.eq_ignore_ascii_case("cumulative") => Ok(true),
        Some(other) => {
            Err(format!("{TEMPORALITY}={other}: this program sends `cumulative` values only"))
        }
    }
}

impl Signal {
    fn is_wanted(&self, setting: impl Setting) -> Result<bool, String> {
        if setting(DISABLED)?.is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return Ok(false);
        }
        let exporter = self.exporter;
        match setting(exporter)?.as_deref() {
            None | Some("otlp") => {}
            Some("none") => return Ok(false),
            Some(other) => return Err(format!("{exporter}={other}: must be `otlp` or `none`")),
        }
        if first_of(self.endpoints, &setting)?.is_none() {
            return Ok(false);
        }
        match first_of(self.protocols, &setting)? {
            Some((name, other)) if other != "http/protobuf" => {
                let signal = self.name;
                return Err(format!(
                    "{name}={other}: this program sends {signal} by `http/protobuf` only"
                ));
            }
            _ => {}
        }
        headers::read(self, &setting)?;
        let numbers = self.timeouts.iter().chain(self.numbers);
        numbers.into_iter().try_for_each(|name| number(name, &setting).map(drop))?;
        Ok(true)
    }
}

/// The name and the value of the first of these variables that is set.
pub fn first_of(
    names: [&'static str; 2],
    setting: impl Setting,
) -> Result<Option<(&'static str, String)>, String> {
    for name in names {
        if let Some(value) = setting(name)? {
            return Ok(Some((name, value)));
        }
    }
    Ok(None)
}

/// The value of a variable that must be a whole number.
pub fn number(name: &str, setting: impl Setting) -> Result<Option<u64>, String> {
    let Some(value) = setting(name)? else { return Ok(None) };
    match value.parse() {
        Ok(number) => Ok(Some(number)),
        Err(_) => Err(format!("{name}={value}: must be a whole number")),
    }
}

/// Rejects a sampler that the library does not know, because the library would use its default
/// instead.
fn check_sampler(setting: impl Setting) -> Result<(), String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    type Variables<'a> = [(&'a str, &'a str)];
    type Wanted = fn(&Variables<'_>) -> Result<bool, String>;

    fn value(set: &Variables<'_>, name: &str) -> Result<Option<String>, String> {
        let found = set.iter().find(|(other, _)| *other == name);
        Ok(found.map(|(_, value)| (*value).to_owned()))
    }

    fn traces(set: &Variables<'_>) -> Result<bool, String> {
        traces_are_wanted(|name: &str| value(set, name))
    }

    fn metrics(set: &Variables<'_>) -> Result<bool, String> {
        metrics_are_wanted(|name: &str| value(set, name))
    }

    const HERE: (&str, &str) = (ENDPOINT, "http://127.0.0.1:4318");

    #[test]
    fn the_same_variables_decide_about_traces_and_metrics() {
        for (signal, wanted) in [(&TRACES, traces as Wanted), (&METRICS, metrics as _)] {
            let Signal { exporter, endpoints, protocols, timeouts, numbers, .. } = *signal;
            for (set, expected) in [
                (vec![], false),
                (vec![HERE], true),
                (vec![(endpoints[0], "http://127.0.0.1:4318/v1/own")], true),
                (vec![HERE, (DISABLED, "true")], false),
                (vec![HERE, (DISABLED, "TRUE")], false),
                (vec![HERE, (DISABLED, "false")], true),
                (vec![HERE, (exporter, "none")], false),
                (vec![HERE, (exporter, "otlp")], true),
                (vec![HERE, (PROTOCOL, "http/protobuf")], true),
                (vec![HERE, (protocols[0], "http/protobuf"), (PROTOCOL, "grpc")], true),
                (vec![(PROTOCOL, "grpc")], false),
                (vec![HERE, (TIMEOUT, "5000"), (timeouts[0], "0")], true),
                (vec![HERE, (numbers[0], "5000")], true),
                (vec![HERE, (HEADERS, "api-key=secret")], true),
            ] {
                assert_eq!(wanted(&set), Ok(expected), "{}: {set:?}", signal.name);
            }
            for other in [
                (PROTOCOL, "grpc"),
                (protocols[0], "http/json"),
                (exporter, "zipkin"),
                (TIMEOUT, "5s"),
                (timeouts[0], "-1"),
                (numbers[0], "0.5"),
            ] {
                let fault = wanted(&[HERE, other]).unwrap_err();
                assert!(fault.contains(other.0) && fault.contains(other.1), "{fault}");
            }
            let fault = wanted(&[HERE, (signal.headers[0], "secret")]).unwrap_err();
            assert!(fault.contains(signal.headers[0]) && !fault.contains("secret"), "{fault}");
        }
    }

    #[test]
    fn the_variables_of_one_signal_do_not_apply_to_the_other() {
        for (signal, wanted) in [(&TRACES, metrics as Wanted), (&METRICS, traces as _)] {
            assert_eq!(wanted(&[(signal.endpoints[0], "http://127.0.0.1:4318")]), Ok(false));
            let other = [HERE, (signal.exporter, "none"), (signal.protocols[0], "grpc")];
            assert_eq!(wanted(&other), Ok(true));
            assert_eq!(wanted(&[HERE, (signal.numbers[0], "never")]), Ok(true));
        }
    }

    #[test]
    fn an_unknown_sampler_is_refused() {
        for set in [
            vec![HERE, (SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARG, "0.1")],
            vec![HERE, (SAMPLER, "always_off")],
        ] {
            assert_eq!(traces(&set), Ok(true), "{set:?}");
        }
        let fault = traces(&[HERE, (SAMPLER, "sometimes")]).unwrap_err();
        assert!(fault.contains("OTEL_TRACES_SAMPLER=sometimes"), "{fault}");
        let fault = traces(&[HERE, (SAMPLER, "traceidratio"), (SAMPLER_ARG, "10%")]).unwrap_err();
        assert!(fault.contains("OTEL_TRACES_SAMPLER_ARG=10%"), "{fault}");
    }

    #[test]
    fn values_that_are_not_cumulative_are_refused() {
        assert_eq!(metrics(&[HERE, (TEMPORALITY, "Cumulative")]), Ok(true));
        assert_eq!(traces(&[HERE, (TEMPORALITY, "delta")]), Ok(true));
        let fault = metrics(&[HERE, (TEMPORALITY, "delta")]).unwrap_err();
        assert!(fault.contains(TEMPORALITY) && fault.contains("delta"), "{fault}");
    }
}
