//! Metrics of the pipeline in the text format of Prometheus.
//!
//! Input: the text.

use hops::Pipeline;

/// Maximum length of the state as JSON.
const BYTES_MAX: usize = 20_000;

/// Checks an input.
pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let Ok(pipeline) = Pipeline::parse(&text, 0) else { return };
    let json = pipeline.to_json();
    assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok(), "not JSON");
    assert!(json.len() <= BYTES_MAX, "{} bytes", json.len());
    assert!(!json.contains(&b'\n'), "more than one line");
}
