//! HTTP middleware: makes requests background tasks, and serves their states and results. All other
//! requests go to the next component.

mod accept;
mod answers;
mod events;
mod front;
mod progress;
mod resources;

use background_tasks::{Preferences, Resource, TASK_HEADERS, named};
use guest_http::{Intercepted, Outcome, problem};
use spin_sdk::wasip3::http::types::ErrorCode;

guest_http::interceptor!(handle);

async fn handle(request: Intercepted) -> Result<Outcome, ErrorCode> {
    let front = match front::front().await {
        Ok(front) => front,
        Err(fault) => return Ok(problem(&fault).into()),
    };
    let head = request.head()?;
    let path = head.uri().path();
    if let Some(resource) = Resource::of(&front.config.prefix, path) {
        return Ok(resources::respond(front, resource, request.into_request(head)).await.into());
    }
    let preferences = Preferences::of(head.headers());
    if front.config.is_task(head.method(), path, preferences.respond_async) {
        return Ok(accept::accept(front, request.into_request(head), preferences).await.into());
    }
    // Only the worker sets these.
    Ok(request.pass_without(named(head.headers(), &TASK_HEADERS)).await?.into())
}
