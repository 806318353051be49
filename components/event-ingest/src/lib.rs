//! Accepts events over HTTP by configuration, and writes them to Kafka. The response is sent after
//! the broker's acknowledgement.

mod publish;
mod routes;

use std::time::{SystemTime, UNIX_EPOCH};

use event_routes::{Found, Route};
use guest_http::{Answer, Request, answer, problem, read_body, report, results};
use http::{HeaderValue, StatusCode, header};
use intake::request::unknown_path;
use intake::{Problem, Results, hop_times};

guest_http::handler!(respond, guest_http::Headers::All);

async fn respond(request: Request) -> Answer {
    let routes = match routes::routes().await.inspect_err(report) {
        Ok(routes) => routes,
        Err(_) => return problem(&no_routes()),
    };
    let path = request.uri().path();
    let Some(found) = routes.find(path) else {
        return problem(&unknown_path(path));
    };
    let answer = match found {
        Found::One(route) => accept(route, request).await,
        Found::Batch(route) => accept_batch(route, request).await,
    };
    answer.unwrap_or_else(|failure| refusal(found.route(), &failure))
}

async fn accept(route: &Route, request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let context = route.check(&head.method, &head.headers)?;
    let timer = route.timer(&context);
    let body = read_body(&head, body, route.body_bytes_max()).await?;
    let events = route.events(context, &head.headers, body, now_s())?;
    let later = publish::publish(route.topic(), events, timer).await.inspect_err(report)?;
    let mut answer = answer(StatusCode::OK, "application/json", route.answer_json());
    if let Some(timer) = timer {
        hop_times::insert(answer.headers_mut(), &timer.stop(later));
    }
    Ok(answer)
}

async fn accept_batch(route: &Route, request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let context = route.check_batch(&head.method, &head.headers)?;
    let body = read_body(&head, body, route.batch_bytes_max()).await?;
    let events = route.batch_events(&context, &head.headers, &body, now_s())?;
    let all = publish::publish_each(route.topic(), events).await;
    Ok(results(&Results(all), route.answer()))
}

fn refusal(route: &Route, failure: &Problem) -> Answer {
    let mut answer = problem(failure);
    let headers = answer.headers_mut();
    match failure.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            if let Some(methods) = route.allowed_methods() {
                headers.insert(header::ALLOW, methods);
            }
        }
        StatusCode::UNAUTHORIZED => {
            let scheme = HeaderValue::from_static("HMAC-SHA256");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        _ => {}
    }
    answer
}

/// The problem for routes that are not valid or could not be read. The log has the reason.
fn no_routes() -> Problem {
    let detail = "the routes of this service are not valid; nothing was written";
    Problem::new("urn:doorbuster:problem:downstream", StatusCode::BAD_GATEWAY, detail)
}

/// The time in seconds since 1970.
fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
