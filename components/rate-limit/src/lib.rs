//! HTTP middleware: limits the rate of requests of each key. The buckets are those of the instance.

use std::cell::RefCell;

use guest_http::{Answer, Changes, Decision, Head, problem, report, variable};
use guest_tasks::now_ms;
use http::{HeaderMap, HeaderName, StatusCode, header};
use intake::{IntakeError, Problem};
use rate_limit_buckets::{Buckets, Grant, Key, Limit, Settings};

guest_http::middleware!(decide);

#[derive(Clone)]
struct Config {
    limit: Limit,
    key: Key,
}

thread_local! {
    static CONFIG: RefCell<Option<Config>> = const { RefCell::new(None) };
    static BUCKETS: RefCell<Buckets> = RefCell::default();
}

async fn decide(head: Head) -> Decision {
    let Ok(config) = config().await.inspect_err(report) else {
        return Decision::Answer(problem(&no_config()));
    };
    let key = config.key.of(head.headers());
    let grant =
        BUCKETS.with_borrow_mut(|buckets| buckets.take(&config.limit, &key, now_ms() * 1_000));
    if grant.is_permitted {
        Decision::Pass(Changes { response: state(&grant), ..Changes::default() })
    } else {
        Decision::Answer(refuse(&grant))
    }
}

/// The settings. They do not change during the life of an instance. A failure is not remembered,
/// because a provider of variables may be unavailable for a while.
async fn config() -> Result<Config, IntakeError> {
    if let Some(config) = CONFIG.with_borrow(Clone::clone) {
        return Ok(config);
    }
    let value = async |name| Ok::<_, IntakeError>(variable(name).await?.unwrap_or_default());
    let settings = Settings {
        average: &value("rate_limit_average").await?,
        period_s: &value("rate_limit_period_s").await?,
        burst: &value("rate_limit_burst").await?,
    };
    let fault = |reason: String| IntakeError::Other(format!("Spin variable {reason}"));
    let limit = Limit::new(&settings).map_err(|e| fault(e.to_string()))?;
    let key = Key::parse(&value("rate_limit_key").await?).map_err(fault)?;
    Ok(CONFIG.with_borrow_mut(|own| own.insert(Config { limit, key }).clone()))
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

/// The problem for settings that are not valid or could not be read. The log has the reason.
fn no_config() -> Problem {
    let detail = "the settings of the rate limit are not valid";
    Problem::new("urn:doorbuster:problem:downstream", StatusCode::BAD_GATEWAY, detail)
}
