//! The dashboard: the live page at `/`, its server-sent events, and the read API. The crates
//! `figures` and `hops` determine what is read from Valkey and from the metrics of the pipeline;
//! this component connects them to Valkey and HTTP. It also passes on requests for dead letters.

mod answers;
mod events;
mod files;
mod letters;
mod log;
mod pipeline;
mod shared;
mod store;
mod viewers;

use figures::{Query, reject_parameters};
use guest_http::{IncomingBody, Reply, Request};
use http::Method;
use http::request::Parts;
use intake::Problem;

use answers::{content, failure, method_not_allowed, not_found};

#[allow(missing_docs, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:dashboard/component",
        path: ["../../wit/doorbuster-valkey", "world.wit"],
        with: {
            "doorbuster:valkey/client@0.2.0/scalar": valkey_codec::Scalar,
            "doorbuster:valkey/client@0.2.0/reply": valkey_codec::Reply,
        },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

guest_http::streaming_handler!(route);

/// The prefix of the paths of the read API.
const API: &str = "/api/v1/";

/// The only path with the method POST.
const REPLAY: &str = "/api/v1/dead-letters/replay";

async fn route(request: Request) -> Reply {
    let (head, body) = request.into_parts();
    if head.uri.path() == REPLAY {
        return letters::replay(&head, body).await.into();
    }
    respond(&head, &body).await.unwrap_or_else(|problem| failure(&problem).into())
}

async fn respond(head: &Parts, body: &IncomingBody) -> Result<Reply, Problem> {
    let path = head.uri.path();
    if let Some(file) = files::at(path) {
        check_method(&head.method)?;
        return Ok(file.answer(head).into());
    }
    match path.strip_prefix(API) {
        Some("events") => {
            check_method(&head.method)?;
            events::answer(&head.method)
        }
        Some("pipeline") => {
            check_method(&head.method)?;
            reject_parameters(head.uri.query().unwrap_or_default())?;
            Ok(content(head, "application/json", pipeline::answer().await?).into())
        }
        Some("dead-letters") => {
            check_method(&head.method)?;
            reject_parameters(head.uri.query().unwrap_or_default())?;
            Ok(letters::list(body).await.into())
        }
        Some(resource) => api(head, resource).await,
        None => Err(not_found(path)),
    }
}

async fn api(head: &Parts, resource: &str) -> Result<Reply, Problem> {
    let query = Query::parse(resource, head.uri.query().unwrap_or_default());
    if matches!(query, Ok(None)) {
        return Err(not_found(head.uri.path()));
    }
    check_method(&head.method)?;
    let query = query?.ok_or_else(|| not_found(head.uri.path()))?;
    let json = store::answer(&query).await?;
    Ok(content(head, "application/json", json).into())
}

fn check_method(method: &Method) -> Result<(), Problem> {
    if matches!(*method, Method::GET | Method::HEAD) { Ok(()) } else { Err(method_not_allowed()) }
}
