//! HTTP middleware: answers requests with stored responses, as a shared cache of RFC 9111.

mod answer;
mod fetch;
mod remote;
mod serve;
mod settings;
mod store;

use guest_http::{Answer, FullBody, Intercepted, Outcome, problem};
use http::{HeaderName, Request as Head, StatusCode};
use intake::Problem;
use response_cache::{Key, Pass, Plan, Status, Target, plan};
use secrecy::ExposeSecret as _;
use sha2::{Digest as _, Sha256};
use spin_sdk::wasip3::http::types::ErrorCode;

use answer::next_with_status;
use settings::store;
use store::Store;

guest_http::interceptor!(handle);

/// The header with the secret that permits the method `PURGE`.
const PURGE_TOKEN: HeaderName = HeaderName::from_static("cache-purge-token");

async fn handle(request: Intercepted) -> Result<Outcome, ErrorCode> {
    let store = match store().await {
        Ok(store) => store,
        Err(fault) => return Ok(problem(&fault).into()),
    };
    let head = request.head()?;
    let scheme = request.scheme();
    let authority = request.authority().or_else(|| {
        let host = head.headers().get(http::header::HOST)?.to_str().ok()?;
        Some(host.to_owned())
    });
    let target = Target {
        scheme: &scheme,
        authority: authority.as_deref().unwrap_or_default(),
        path_and_query: head.uri().path_and_query().map_or("/", |path| path.as_str()),
    };
    if head.method().as_str() == "PURGE" && !store.config.purge_token.expose_secret().is_empty() {
        return Ok(purge(store, &head, target).await.into());
    }
    match plan(head.method(), target, head.headers()) {
        Plan::Pass(pass) => pass_on(store, &pass, request).await,
        Plan::Look(lookup) => serve::serve(store, (*lookup).into(), head, request).await,
    }
}

/// Passes on a request that no stored response can answer.
async fn pass_on(store: &Store, pass: &Pass, request: Intercepted) -> Result<Outcome, ErrorCode> {
    let status = Status { forwarded: Some(pass.reason), ..Status::default() };
    let (response, head) = next_with_status(request, status).await?;
    for key in pass.invalidated(&head) {
        store.invalidate(&key).await;
    }
    Ok(response.into())
}

/// Removes the stored responses for the target of the request.
async fn purge(store: &Store, head: &Head<()>, target: Target<'_>) -> Answer {
    let given = head.headers().get(PURGE_TOKEN).map(|value| value.as_bytes());
    // The time of the comparison of digests does not depend on how much of the secret is correct.
    let digest = |secret: &[u8]| Sha256::digest(secret);
    if given.map(digest) != Some(digest(store.config.purge_token.expose_secret().as_bytes())) {
        let detail = format!("the header `{PURGE_TOKEN}` is missing or wrong");
        let kind = "urn:doorbuster:problem:forbidden";
        return problem(&Problem::new(kind, StatusCode::FORBIDDEN, detail));
    }
    let key = Key::new(target.scheme, target.authority, target.path_and_query);
    // Nothing is stored for a target without a key.
    if let Some(key) = key
        && !store.invalidate(&key).await
    {
        let detail = "the stored responses cannot be removed now; retry later";
        let kind = "urn:doorbuster:problem:unavailable";
        return problem(&Problem::new(kind, StatusCode::SERVICE_UNAVAILABLE, detail));
    }
    let mut answer = Answer::new(FullBody::default());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    answer
}
