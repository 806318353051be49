//! HTTP middleware: limits the rate of requests of each key. The buckets are those of the instance, or
//! of all instances that share a Valkey.

mod settings;
mod shared;

use std::cell::RefCell;

use guest_http::{Answer, Changes, Decision, Head, problem};
use guest_tasks::now_ms;
use http::{HeaderMap, HeaderName, StatusCode, header};
use intake::Problem;
use rate_limit_buckets::{Buckets, Grant, WithoutStore};

use settings::{Config, settings};

guest_http::middleware!(decide);

thread_local! {
    static BUCKETS: RefCell<Buckets> = RefCell::default();
}

async fn decide(head: Head) -> Decision {
    let config = match settings().await {
        Ok(config) => config,
        Err(fault) => return Decision::Answer(problem(&fault)),
    };
    let key = config.key.of(head.headers());
    match take(config, &key).await {
        None => Decision::Answer(problem(&no_store())),
        Some(grant) if grant.is_permitted => {
            Decision::Pass(Changes { response: state(&grant), ..Changes::default() })
        }
        Some(grant) => Decision::Answer(refuse(&grant)),
    }
}

/// Takes a token; `None` if the shared buckets cannot be used, and requests are refused then.
async fn take(config: &Config, key: &str) -> Option<Grant> {
    if let Some(shared) = &config.shared {
        let grant = shared.take(&config.limit, key).await;
        if grant.is_some() || shared.without == WithoutStore::Refuse {
            return grant;
        }
    }
    let now_us = now_ms() * 1_000;
    Some(BUCKETS.with_borrow_mut(|buckets| buckets.take(&config.limit, key, now_us)))
}

/// The headers about the state of the bucket.
fn state(grant: &Grant) -> HeaderMap {
    let fields = [
        ("ratelimit-limit", grant.limit),
        ("ratelimit-remaining", grant.remaining),
        ("ratelimit-reset", grant.reset_s),
    ];
    fields.into_iter().map(|(name, value)| (HeaderName::from_static(name), value.into())).collect()
}

fn refuse(grant: &Grant) -> Answer {
    let detail = format!("too many requests; retry after {} s", grant.retry_s);
    let kind = "urn:doorbuster:problem:rate-limit";
    let mut answer = problem(&Problem::new(kind, StatusCode::TOO_MANY_REQUESTS, detail));
    answer.headers_mut().extend(state(grant));
    answer.headers_mut().insert(header::RETRY_AFTER, grant.retry_s.into());
    answer
}

/// The problem while the shared buckets cannot be used. The log has the reason.
fn no_store() -> Problem {
    let detail = "the rate of requests cannot be checked now; retry later";
    let kind = "urn:doorbuster:problem:unavailable";
    Problem::new(kind, StatusCode::SERVICE_UNAVAILABLE, detail)
}
