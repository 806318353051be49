//! Requests that a stored response may answer.

use std::rc::Rc;
use std::time::Duration;

use guest_http::{Buffered, buffer};
use guest_tasks::{wake_up, within};
use response_cache::{Forwarded, Found, Join, Lookup, Reuse, Status};
use spin_sdk::wasip3::http::types::{ErrorCode, Request, Response};

use crate::answer::{next_with_status, not_cached, send};
use crate::fetch::{Fetch, now_ms};
use crate::store::{FlightKey, NO_VERSION, Store};

/// How long a request waits for another one.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// How often a request waits for another one: for one that is cancelled, or that has selected another
/// response of the target.
const WAITS_MAX: u32 = 3;

/// Answers a request with a stored response, or passes it on.
pub async fn serve(
    store: &'static Store,
    lookup: Rc<Lookup>,
    request: Request,
) -> Result<Response, ErrorCode> {
    let mut waits = 0;
    let mut may_wait = true;
    loop {
        let status = Status { is_collapsed: waits > 0, ..Status::default() };
        let now = now_ms();
        let (found, version) = store.find(&lookup).await;
        let (stored, reason) = match found {
            Found::Nothing => (None, Forwarded::UriMiss),
            Found::OtherVariants => (None, Forwarded::VaryMiss),
            Found::Response(stored) => match lookup.reuse(&stored, now) {
                Reuse::Answer => return send(stored.answer(&lookup, now, status)),
                Reuse::AnswerAndValidate => {
                    let answer = send(stored.answer(&lookup, now, status));
                    let fetch = Fetch { store, lookup, stored: Some(stored), version, status };
                    validate_later(fetch, request);
                    return answer;
                }
                Reuse::Validate(reason) => (Some(stored), reason),
            },
        };
        let status = Status { forwarded: Some(reason), ..status };
        if lookup.is_only_if_cached() {
            return not_cached();
        }
        let is_stored_never = stored.is_none() && store.is_not_stored(&lookup, now);
        if lookup.is_head || is_stored_never {
            return next_with_status(request, status).await.map(|(response, _)| response);
        }
        let fetch = Fetch { store, lookup: lookup.clone(), stored, version, status };
        // What is not stored is of no use for others.
        if !may_wait || version == NO_VERSION {
            return run(fetch, request).await;
        }
        let key = flight_key(store, &lookup);
        match store.flights.join(&key, wake_up) {
            Join::Lead(lead) => {
                let response = run(fetch, request).await;
                lead.complete();
                return response;
            }
            Join::Full => return run(fetch, request).await,
            Join::Wait(woken, is_complete) => {
                let in_time = within(WAIT_LIMIT, woken).await.is_some();
                waits += 1;
                let is_other = is_complete.get() && reason != Forwarded::VaryMiss;
                may_wait = in_time && waits < WAITS_MAX && !is_other;
            }
        }
    }
}

/// Validates a stored response after it was used, unless another request does so already.
fn validate_later(fetch: Fetch, request: Request) {
    spin_sdk::wit_bindgen::spawn(async move {
        let key = flight_key(fetch.store, &fetch.lookup);
        if let Join::Lead(lead) = fetch.store.flights.join(&key, wake_up) {
            // A failure is that of a later request, too, which reports it.
            drop(run(fetch, request).await);
            lead.complete();
        }
    });
}

fn flight_key(store: &Store, lookup: &Lookup) -> FlightKey {
    let selecting = lookup.variant(&[], &store.config.rules);
    (lookup.key.clone(), selecting, lookup.has_credentials())
}

async fn run(fetch: Fetch, request: Request) -> Result<Response, ErrorCode> {
    match buffer(request, &fetch.lookup.headers, 0).await? {
        Buffered::Complete(outline, _) => fetch.run(&outline).await,
        // A body of unknown length: the response may depend on it.
        Buffered::Streamed(request) => {
            let status = Status { forwarded: Some(Forwarded::Bypass), ..fetch.status };
            next_with_status(request, status).await.map(|(response, _)| response)
        }
    }
}
