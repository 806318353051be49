//! HTTP component: forwards each request to one of several upstreams.

mod flight;
mod health;
mod settings;
mod state;

use std::time::Duration;

use guest_http::{End, Head, Headers, Outline, Upload};
use guest_http::{head, is_server_failure, is_timeout, problem, report, send_answer, timed_out};
use http::StatusCode;
use intake::{IntakeError, Problem};
use request_policies::TIMEOUT_MAX;
use request_policies::balance::{Client, Config, Upstream, forwarded_headers};
use spin_sdk::wasip3::http::client;
use spin_sdk::wasip3::http::types::{ErrorCode, Request, RequestOptions, Response, Scheme};

use flight::Flight;

guest_http::proxy!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let config = match settings::current().await {
        Ok(config) => config,
        Err(fault) => return send_answer(problem(&fault)),
    };
    health::start_checks(config);
    let head = head(&request, Headers::All)?;
    let (flight, upstream) = match Flight::begin(config, head.headers()) {
        Some(flight) => flight,
        None => return send_answer(problem(&unreachable())),
    };
    let path = head.uri().path_and_query().map_or("/", |path| path.as_str());
    let Some(target) = upstream.target(path) else { return send_answer(problem(&wrong_path())) };
    let change = |outline: &mut Outline| change(outline, &head, upstream, target, config);
    let (request, upload) = Upload::of(request, config.timeout, change).await?;
    let exchange = upload.exchange(TIMEOUT_MAX, client::send(request)).await;
    let failed = match &exchange.end {
        End::Answered(response) => Some(config.is_failure(response.get_status_code())),
        End::Failed(error) => is_server_failure(error).then_some(true),
        End::TimedOut => Some(true),
        End::NotReceived(_) => None,
    };
    flight.finish(failed.filter(|_| exchange.time.is_some()));
    let (fault, text) = match exchange.end {
        End::Answered(response) => return Ok(response),
        End::NotReceived(fault) => return send_answer(problem(&fault)),
        End::Failed(error) if is_timeout(&error) => (timed_out(), error.to_string()),
        End::Failed(error) => (unreachable(), error.to_string()),
        End::TimedOut => (timed_out(), "no answer in time".into()),
    };
    report(&IntakeError::Unavailable(format!("upstream {upstream}: {text}")));
    send_answer(problem(&fault))
}

/// Addresses a request to the upstream.
fn change(
    outline: &mut Outline,
    head: &Head,
    upstream: &Upstream,
    target: String,
    config: &Config,
) -> Result<(), ErrorCode> {
    let scheme = match &outline.scheme {
        Some(Scheme::Https) => "https",
        _ => "http",
    };
    let host = outline.authority.as_deref();
    let client = Client { scheme, host };
    outline.set_headers(&forwarded_headers(head.headers(), client, &config.trusted))?;
    outline.path_with_query = Some(target);
    outline.scheme = Some((&upstream.scheme).into());
    outline.authority = Some(upstream.authority.to_string());
    outline.options = Some(options(config.timeout)?);
    Ok(())
}

/// The time limit for the head of the answer is not that of the host, which includes the time for the
/// body of the request.
fn options(limit: Duration) -> Result<RequestOptions, ErrorCode> {
    let options = RequestOptions::new();
    let nanoseconds = u64::try_from(limit.as_nanos()).ok();
    let refused = |error| ErrorCode::InternalError(Some(format!("{error:?}")));
    options.set_connect_timeout(nanoseconds).map_err(refused)?;
    Ok(options)
}

/// A path that could leave the one of the upstream's URL.
fn wrong_path() -> Problem {
    let detail = "must have no empty, `.` or `..` segments and no encoded separators";
    Problem::new("urn:doorbuster:problem:invalid", StatusCode::BAD_REQUEST, detail)
        .with_field("path")
}

/// The log has the upstream and the reason.
fn unreachable() -> Problem {
    let detail = "the upstream could not be reached, or did not answer completely";
    Problem::new("urn:doorbuster:problem:downstream", StatusCode::BAD_GATEWAY, detail)
}
