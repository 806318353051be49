//! HTTP middleware: makes requests background tasks, and serves their states and results. All other
//! requests go to the next component.

mod accept;
mod answers;
mod events;
mod front;
mod progress;
mod resources;

use background_tasks::{Preferences, Resource, TASK_HEADERS, named};
use guest_http::{Changes, Decision, Headers, head, problem, send_answer, serve, serve_middleware};
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

guest_http::proxy!(handle);

async fn handle(request: Request) -> Result<Response, ErrorCode> {
    let front = match front::front().await {
        Ok(front) => front,
        Err(fault) => return send_answer(problem(&fault)),
    };
    let head = head(&request, Headers::All)?;
    let path = head.uri().path();
    if let Some(resource) = Resource::of(&front.config.prefix, path) {
        let respond = async |request| resources::respond(front, resource, request).await;
        return serve(request, Headers::All, respond).await;
    }
    let preferences = Preferences::of(head.headers());
    if front.config.is_task(head.method(), path, preferences.respond_async) {
        let accept = async |request| accept::accept(front, request, preferences).await;
        return serve(request, Headers::All, accept).await;
    }
    // Only the worker sets these.
    let remove = named(head.headers(), &TASK_HEADERS);
    let changes = Changes { remove, ..Changes::default() };
    serve_middleware(request, async |_| Decision::Pass(changes)).await
}
