//! HTTP middleware: writes an event for each request to Kafka, after the request was answered.

mod send;
mod settings;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use guest_http::{is_server_failure, is_timeout, next, problem, send_answer};
use http::{Method, StatusCode};
use request_events::{Config, Exchange};
use spin_sdk::wasip3::clocks::monotonic_clock;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

guest_http::proxy!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let config = match settings::current().await {
        Ok(config) => config,
        Err(fault) => return send_answer(problem(&fault)),
    };
    let method = Method::try_from(request.get_method());
    let path_with_query = request.get_path_with_query().unwrap_or_default();
    let began = monotonic_clock::now();
    let answered = next(request).await;
    let duration = Duration::from_nanos(monotonic_clock::now().saturating_sub(began));
    let status = match &answered {
        Ok(response) => StatusCode::from_u16(response.get_status_code()),
        Err(error) => Ok(status_of(error)),
    };
    // Neither a method nor a status that is not valid gets here through a host.
    if let (Ok(method), Ok(status)) = (method, status) {
        observe(config, &method, &path_with_query, status, duration);
    }
    answered
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

/// The status with which a host answers a request without a response.
fn status_of(error: &ErrorCode) -> StatusCode {
    if is_timeout(error) {
        StatusCode::GATEWAY_TIMEOUT
    } else if is_server_failure(error) {
        StatusCode::BAD_GATEWAY
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}
