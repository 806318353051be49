//! HTTP middleware: writes an event for each request to Kafka, after the request was answered.

mod send;
mod settings;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guest_http::{End, Intercepted, NextResponse, Outcome};
use guest_http::{is_server_failure, is_timeout, problem, timed_out};
use http::{Method, StatusCode};
use request_events::{Config, Exchange};
use request_policies::TIMEOUT_MAX;
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::ErrorCode;

guest_http::interceptor!(handle);

async fn handle(request: Intercepted) -> Result<Outcome, ErrorCode> {
    let config = match settings::current().await {
        Ok(config) => config,
        Err(fault) => return Ok(problem(&fault).into()),
    };
    let method = request.head()?.method().clone();
    let path_with_query = request.path_with_query();
    let began = monotonic_clock::now();
    // With the time limit of the host, there would be no event.
    let exchange = request.observe(TIMEOUT_MAX, TIMEOUT_MAX).await?;
    let duration = Duration::from_nanos(monotonic_clock::now().saturating_sub(began));
    // A status that is not valid does not get here through a host.
    if let Ok(status) = StatusCode::from_u16(status_of(&exchange.end)) {
        observe(config, &method, &path_with_query, status, duration);
    }
    match exchange.end {
        End::Answered(response) => Ok(response.into()),
        End::Failed(error) => Err(error),
        End::TimedOut => Ok(problem(&timed_out()).into()),
        End::NotReceived(fault) => Ok(problem(&fault).into()),
    }
}

/// Creates the event of a request. It is sent later.
fn observe(
    config: &'static Config,
    method: &Method,
    path_with_query: &str,
    status: StatusCode,
    duration: Duration,
) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let time_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    let exchange = Exchange { method, path_with_query, status, duration, time_ms };
    send::later(config, exchange.record(exchange.series(&config.routes), send::random()));
}

/// The status with which the request is answered here, or by a host if there is no response.
fn status_of(end: &End<NextResponse>) -> u16 {
    match end {
        End::Answered(response) => response.status(),
        End::Failed(error) if is_timeout(error) => StatusCode::GATEWAY_TIMEOUT.as_u16(),
        End::Failed(error) if is_server_failure(error) => StatusCode::BAD_GATEWAY.as_u16(),
        End::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR.as_u16(),
        End::TimedOut => StatusCode::GATEWAY_TIMEOUT.as_u16(),
        End::NotReceived(fault) => fault.status,
    }
}
