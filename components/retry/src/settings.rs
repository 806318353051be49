//! The configuration, which is read at the first request to an instance.

use request_policies::retry::{Policy, Settings};

guest_http::settings!(
    Policy,
    Settings,
    "retry_",
    [
        attempts,
        initial_interval_ms,
        statuses,
        idempotency_key,
        budget_percent,
        body_bytes_max,
        after_max_ms,
        timeout_ms,
        attempt_timeout_ms,
    ]
);
