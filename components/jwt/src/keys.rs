//! The keys of the issuer: fetched once for all requests that wait for them, and kept.

use std::cell::RefCell;
use std::rc::Rc;

use access_token::{KEYS_BYTES_MAX, KeyCache, Keys, Next, Refusal};
use coalesce::{Coalescer, Leadership};
use guest_http::whole::types::{Request, ResponseLimits};
use guest_http::{report, send_streamed};
use guest_tasks::{Wake, now_ms, wake_up};
use http::{StatusCode, Uri};
use intake::IntakeError;

use crate::settings::Source;

const LIMITS: ResponseLimits =
    ResponseLimits { timeout_ms: 5_000, body_bytes_max: KEYS_BYTES_MAX as u64 };

thread_local! {
    static CACHE: RefCell<KeyCache> = RefCell::default();
    static CALLS: Rc<Coalescer<(), (), Wake>> = Rc::default();
}

/// The keys for a request.
pub async fn current(source: &Source) -> Result<Rc<Keys>, Refusal> {
    let url = match source {
        Source::Configured(keys) => return Ok(keys.clone()),
        Source::Published(url) => url,
    };
    match next() {
        Next::Use(keys) => return Ok(keys),
        Next::Renew(keys) => {
            // Later requests use the old keys meanwhile.
            renew(url).await;
            return Ok(usable().unwrap_or(keys));
        }
        Next::Fetch | Next::Refuse => renew(url).await,
    }
    usable().ok_or(Refusal::NoKeys)
}

/// Keys that were fetched because no key fits a token; `None` if that is not possible now.
pub async fn newer(source: &Source) -> Option<Rc<Keys>> {
    let Source::Published(url) = source else { return None };
    renew(url).await;
    usable()
}

fn next() -> Next {
    CACHE.with_borrow(|cache| cache.next(now_ms()))
}

fn usable() -> Option<Rc<Keys>> {
    match next() {
        Next::Use(keys) | Next::Renew(keys) => Some(keys),
        Next::Fetch | Next::Refuse => None,
    }
}

/// Fetches the keys if they are due, or waits for a request that does.
async fn renew(url: &Uri) {
    let calls = CALLS.with(Rc::clone);
    let fetch = async |leadership: &Leadership<'_, (), (), Wake>| {
        let jobs = leadership.jobs();
        if !CACHE.with_borrow(|cache| cache.is_due(now_ms())) {
            return jobs.into_iter().for_each(|job| job.complete(()));
        }
        CACHE.with_borrow_mut(|cache| cache.begin(now_ms()));
        match fetch(url).await {
            Ok(keys) => CACHE.with_borrow_mut(|cache| cache.store(keys, now_ms())),
            Err(reason) => {
                // The query may contain a secret.
                let host = url.host().unwrap_or_default();
                report(&IntakeError::Unavailable(format!("keys of {host}: {reason}")));
            }
        }
        jobs.into_iter().for_each(|job| job.complete(()));
    };
    // Nothing is returned: the cache says whether there are keys.
    calls.submit((), wake_up, fetch).await;
}

async fn fetch(url: &Uri) -> Result<Keys, String> {
    let request = Request {
        method: "GET".into(),
        path_with_query: url.path_and_query().map_or("/", |path| path.as_str()).into(),
        scheme: url.scheme_str().map(Into::into),
        authority: url.authority().map(|authority| authority.as_str().into()),
        headers: b"accept: application/json\r\n".to_vec(),
        body: Vec::new(),
        trailers: Vec::new(),
    };
    let response = send_streamed(request, LIMITS).await.map_err(|error| format!("{error:?}"))?;
    if response.status != StatusCode::OK {
        return Err(format!("status {}", response.status));
    }
    Keys::published(&response.body).map_err(|error| error.to_string())
}
