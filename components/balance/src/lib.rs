//! HTTP component: forwards each request to one of several upstreams.

mod flight;
mod settings;

use std::time::Duration;

use guest_http::{Head, Headers, Outline};
use guest_http::{contents, head, is_timeout, problem, report, send_answer, timed_out};
use guest_tasks::within;
use http::StatusCode;
use intake::{IntakeError, Problem};
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
    let head = head(&request, Headers::All)?;
    let (flight, upstream) = match Flight::begin(config, head.headers()) {
        Some(flight) => flight,
        None => return send_answer(problem(&unreachable())),
    };
    let request = forwarded(request, &head, upstream, config)?;
    let (fault, text) = match within(config.timeout, client::send(request)).await {
        Some(Ok(response)) => {
            flight.finish(config.is_failure(response.get_status_code()));
            return Ok(response);
        }
        Some(Err(error)) if is_timeout(&error) => (timed_out(), error.to_string()),
        Some(Err(error)) => (unreachable(), error.to_string()),
        None => (timed_out(), "no answer in time".into()),
    };
    report(&IntakeError::Unavailable(format!("upstream {upstream}: {text}")));
    flight.finish(true);
    send_answer(problem(&fault))
}

/// The request for the upstream. Its body is passed on as a stream.
fn forwarded(
    request: Request,
    head: &Head,
    upstream: &Upstream,
    config: &Config,
) -> Result<Request, ErrorCode> {
    let mut outline = Outline::of(&request);
    let scheme = match &outline.scheme {
        Some(Scheme::Https) => "https",
        _ => "http",
    };
    let host = outline.authority.as_deref();
    let client = Client { scheme, host };
    outline.set_headers(&forwarded_headers(head.headers(), client, &config.trusted))?;
    let path = head.uri().path_and_query().map_or("/", |path| path.as_str());
    outline.path_with_query = Some(upstream.target(path));
    outline.scheme = Some((&upstream.scheme).into());
    outline.authority = Some(upstream.authority.to_string());
    outline.options = Some(options(config.timeout)?);
    let (contents, trailers) = contents(request);
    outline.into_request(Some(contents), trailers)
}

fn options(limit: Duration) -> Result<RequestOptions, ErrorCode> {
    let options = RequestOptions::new();
    let nanoseconds = u64::try_from(limit.as_nanos()).ok();
    let refused = |error| ErrorCode::InternalError(Some(format!("{error:?}")));
    options.set_connect_timeout(nanoseconds).map_err(refused)?;
    options.set_first_byte_timeout(nanoseconds).map_err(refused)?;
    Ok(options)
}

/// The log has the upstream and the reason.
fn unreachable() -> Problem {
    let detail = "the upstream could not be reached, or did not answer completely";
    Problem::new("urn:doorbuster:problem:downstream", StatusCode::BAD_GATEWAY, detail)
}
