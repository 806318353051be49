//! Media types.

/// A CloudEvent in the JSON format.
pub const CLOUD_EVENT: &str = "application/cloudevents+json";

/// Several CloudEvents in the JSON format.
pub const CLOUD_EVENT_BATCH: &str = "application/cloudevents-batch+json";

/// The media type without its parameters.
pub fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// Whether content of this type is JSON.
pub fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type).to_ascii_lowercase();
    essence.ends_with("+json") || essence == "application/json" || essence == "text/json"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_with_parameters_and_suffixes() {
        for json in ["application/json", "Application/JSON; charset=utf-8", "a/b+json", "text/json"]
        {
            assert!(is_json(json), "{json}");
        }
        for other in ["", "text/plain", "application/jsonx", "text/plain; a=+json"] {
            assert!(!is_json(other), "{other}");
        }
    }
}
