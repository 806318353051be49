//! HTTP component: forwards each request to one of several upstreams.

mod flight;
mod health;
mod settings;
mod state;

use guest_http::{Destination, End, Head, Intercepted, Outcome};
use guest_http::{is_server_failure, is_timeout, problem, report, timed_out};
use http::StatusCode;
use intake::{IntakeError, Problem};
use request_policies::TIMEOUT_MAX;
use request_policies::balance::{Client, Config, Upstream, forwarded_headers};
use spin_sdk::wasip3::http::types::ErrorCode;

use flight::Flight;

guest_http::interceptor!(handle);

async fn handle(request: Intercepted) -> Result<Outcome, ErrorCode> {
    let config = match settings::current().await {
        Ok(config) => config,
        Err(fault) => return Ok(problem(&fault).into()),
    };
    health::start_checks(config);
    let head = request.head()?;
    let Some((flight, upstream)) = Flight::begin(config, head.headers()) else {
        return Ok(problem(&unreachable()).into());
    };
    let path = head.uri().path_and_query().map_or("/", |path| path.as_str());
    let Some(target) = upstream.target(path) else { return Ok(problem(&wrong_path()).into()) };
    let destination = destination(&request, &head, upstream, target, config);
    let exchange = request.forward(&head, destination, config.timeout, TIMEOUT_MAX).await?;
    let failed = match &exchange.end {
        End::Answered(response) => Some(config.is_failure(response.status())),
        End::Failed(error) => is_server_failure(error).then_some(true),
        End::TimedOut => Some(true),
        End::NotReceived(_) => None,
    };
    flight.finish(failed.filter(|_| exchange.time.is_some()));
    let (fault, text) = match exchange.end {
        End::Answered(response) => return Ok(response.into()),
        End::NotReceived(fault) => return Ok(problem(&fault).into()),
        End::Failed(error) if is_timeout(&error) => (timed_out(), error.to_string()),
        End::Failed(error) => (unreachable(), error.to_string()),
        End::TimedOut => (timed_out(), "no answer in time".into()),
    };
    report(&IntakeError::Unavailable(format!("upstream {upstream}: {text}")));
    Ok(problem(&fault).into())
}

/// Addresses a request to the upstream.
fn destination<'a>(
    request: &Intercepted,
    head: &Head,
    upstream: &'a Upstream,
    path_with_query: String,
    config: &Config,
) -> Destination<'a> {
    let scheme = if request.scheme() == "https" { "https" } else { "http" };
    let host = request.authority();
    let client = Client { scheme, host: host.as_deref() };
    Destination {
        scheme: &upstream.scheme,
        authority: &upstream.authority,
        path_with_query,
        headers: forwarded_headers(head.headers(), client, &config.trusted),
    }
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
