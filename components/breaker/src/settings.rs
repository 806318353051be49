//! The configuration, which is read at the first request to an instance.

use request_policies::breaker::{Config, Settings};

guest_http::settings!(
    Config,
    Settings,
    "breaker_",
    [expression, window_s, requests_min, fallback_duration_s, trials, timeout_ms, status_path,]
);
