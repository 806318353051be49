//! Requests that a stored response may answer.

use std::rc::Rc;
use std::time::Duration;

use guest_http::{Answer, Head, Intercepted, Kept, Outcome, Repeatable};
use guest_tasks::{now_ms, wake_up, within};
use response_cache::{Forwarded, Found, Join, Lookup, Reuse, Status};
use spin_sdk::wasip3::http::types::ErrorCode;

use crate::answer::{complete, next_with_status, not_cached};
use crate::fetch::{Fetch, unix_ms};
use crate::store::Store;

/// How long a request waits for others.
const WAIT_LIMIT: Duration = Duration::from_secs(10);

/// How often a request waits for another one: for one that is cancelled, or that has selected another
/// response of the target.
const WAITS_MAX: u32 = 3;

/// What the store has for a request.
enum Seen {
    /// The answer.
    Answer(Answer),
    /// The answer, and the request with which it is validated for later ones.
    Stale(Answer, Fetch),
    /// Nothing that can be used without the component behind.
    Missing(Fetch),
}

/// Answers a request with a stored response, or passes it on.
pub async fn serve(
    store: &'static Store,
    lookup: Rc<Lookup>,
    head: Head,
    request: Intercepted,
) -> Result<Outcome, ErrorCode> {
    let fetch = match look(store, &lookup, None).await {
        Seen::Answer(answer) => return Ok(answer.into()),
        Seen::Stale(answer, fetch) => {
            return Ok(Outcome::AnswerFirst(answer, Box::pin(validate(fetch, head, request))));
        }
        Seen::Missing(fetch) => fetch,
    };
    if lookup.is_only_if_cached() {
        return Ok(not_cached().into());
    }
    if lookup.is_head {
        return Ok(next_with_status(request, fetch.status).await?.0.into());
    }
    // A client may send even an empty body slowly, so it is read before others wait for this request.
    match request.keep(&head, 0).await? {
        Kept::Repeatable(request) => send_once(fetch, request).await,
        // A body of unknown length: the response may depend on it.
        Kept::Once(request) => {
            let status = Status { forwarded: Some(Forwarded::Bypass), ..fetch.status };
            Ok(next_with_status(request, status).await?.0.into())
        }
    }
}

/// Looks for a stored response. `waited` is why the request was about to be sent, if it has waited for
/// the response to another one instead.
async fn look(store: &'static Store, lookup: &Rc<Lookup>, waited: Option<Forwarded>) -> Seen {
    let now = unix_ms();
    let (found, version) = store.find(lookup).await;
    let status = Status { forwarded: waited, is_collapsed: waited.is_some(), ..Status::default() };
    let fetch = |stored, reason, vary: &[_]| {
        let alike = (
            lookup.key.clone(),
            lookup.variant(vary, &store.config.rules),
            lookup.has_credentials(),
        );
        let status = Status { forwarded: Some(reason), ..Status::default() };
        Fetch { store, lookup: lookup.clone(), stored, version, status, alike }
    };
    match found {
        Found::Nothing { reason, vary } => Seen::Missing(fetch(None, reason, &vary)),
        Found::Response(stored) => match lookup.reuse(&stored, now) {
            Reuse::Answer => Seen::Answer(complete(stored.answer(lookup, now, status))),
            Reuse::AnswerAndValidate => {
                let answer = complete(stored.answer(lookup, now, status));
                Seen::Stale(answer, fetch(Some(stored.clone()), Forwarded::Stale, &stored.vary))
            }
            Reuse::Validate(reason) => {
                Seen::Missing(fetch(Some(stored.clone()), reason, &stored.vary))
            }
        },
    }
}

/// Sends a request, or waits for the response to another one that is like it.
async fn send_once(mut fetch: Fetch, mut request: Repeatable) -> Result<Outcome, ErrorCode> {
    let store = fetch.store;
    let start_ms = now_ms();
    // Requests whose response has not answered this one.
    let mut answered = None;
    for _ in 0..WAITS_MAX {
        if !fetch.may_wait() || answered.as_ref() == Some(&fetch.alike) {
            break;
        }
        match store.flights.join(&fetch.alike, wake_up) {
            Join::Lead(lead) => {
                let outcome = fetch.run(&mut request).await;
                lead.complete();
                return outcome;
            }
            Join::Full => break,
            Join::Wait(woken, is_complete) => {
                let waited = Duration::from_millis(now_ms().saturating_sub(start_ms));
                if within(WAIT_LIMIT.saturating_sub(waited), woken).await.is_none() {
                    break;
                }
                let reason = fetch.status.forwarded.filter(|_| is_complete.get());
                answered = is_complete.get().then(|| fetch.alike.clone());
                match look(store, &fetch.lookup, reason).await {
                    // A stale one was just received.
                    Seen::Answer(answer) | Seen::Stale(answer, _) => return Ok(answer.into()),
                    Seen::Missing(next) => fetch = next,
                }
            }
        }
    }
    fetch.run(&mut request).await
}

/// Validates a stored response after it was used, unless another request does so already.
async fn validate(fetch: Fetch, head: Head, request: Intercepted) {
    let Ok(Kept::Repeatable(mut request)) = request.keep(&head, 0).await else { return };
    if let Some(lead) = fetch.store.flights.try_lead(&fetch.alike) {
        // A failure is that of a later request, too, which reports it.
        drop(fetch.run(&mut request).await);
        lead.complete();
    }
}
