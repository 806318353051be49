//! The configuration, which is read at the first request to an instance.

use request_policies::balance::{Config, HealthSettings, Settings};

guest_http::settings!(
    Config,
    Settings,
    "balance_",
    [
        upstreams,
        strategy,
        sticky,
        failure_statuses,
        failures_max,
        ejection_s,
        timeout_ms,
        trusted_proxies,
    ],
    health: HealthSettings [interval_s, failures_max, path, statuses, successes, timeout_ms]
);
