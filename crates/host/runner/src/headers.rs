//! The additional headers of requests to an OpenTelemetry collector.

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::collector::{Setting, Signal, first_of};

/// Reads the headers of a signal: `NAME=VALUE,NAME=VALUE`, with percent-encoded values. The error
/// does not contain a value, because a value may be a secret.
pub fn read(signal: &Signal, setting: impl Setting) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    let Some((variable, text)) = first_of(signal.headers, setting)? else { return Ok(headers) };
    let entries = text.split(',').enumerate();
    for (index, entry) in entries.filter(|(_, entry)| !entry.trim().is_empty()) {
        let (name, value) = header(entry).ok_or_else(|| {
            let number = index + 1;
            format!("{variable}: entry {number} must be NAME=VALUE, with a percent-encoded value")
        })?;
        headers.insert(name, value);
    }
    Ok(headers)
}

fn header(entry: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = entry.split_once('=')?;
    let name = name.trim().parse().ok()?;
    let value: Vec<u8> = percent_decode_str(value.trim()).collect();
    let mut value = HeaderValue::from_bytes(&value).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collector::METRICS;

    fn of(text: &str) -> Result<HeaderMap, String> {
        read(&METRICS, |name: &str| {
            Ok((name == "OTEL_EXPORTER_OTLP_HEADERS").then(|| text.to_owned()))
        })
    }

    #[test]
    fn values_are_percent_encoded() {
        let headers = of("authorization=Bearer%20a%3D%2C, x-tenant = shop ,").unwrap();
        assert_eq!(headers.len(), 2);
        assert_eq!(headers["authorization"], "Bearer a=,");
        assert_eq!(headers["x-tenant"], "shop");
        assert_eq!(of(" ").unwrap().len(), 0);
    }

    #[test]
    fn the_headers_of_the_signal_take_precedence() {
        let headers = read(&METRICS, |name: &str| Ok(Some(format!("from={name}")))).unwrap();
        assert_eq!(headers["from"], "OTEL_EXPORTER_OTLP_METRICS_HEADERS");
    }

    #[test]
    fn an_invalid_entry_is_refused_without_its_value() {
        for text in ["a=b,secret", "a=b,two words=secret", "a=b,x=secret%0A", "a=b,=secret"] {
            let fault = of(text).unwrap_err();
            assert!(fault.starts_with("OTEL_EXPORTER_OTLP_HEADERS: entry 2 must"), "{fault}");
            assert!(!fault.contains("secret"), "{fault}");
        }
    }
}
