//! `POST /purchases`.

use futures::StreamExt as _;
use guest_http::{Answer, Request, answer, read_body};
use http::StatusCode;
use intake::request::{Context, MANY_BODY_BYTES_MAX, check};
use intake::{IntakeError, Problem, Results, parse_many};
use sale::{Sale, Violation};

/// Maximum number of sales of one request that are in progress at once.
const AT_ONCE_MAX: usize = 64;

const JSON: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// Accepts several sales, and returns the result of each.
pub async fn purchases(request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let context = check(&head.method, &head.headers, &[JSON, LINES], MANY_BODY_BYTES_MAX)?
        .check_many_key()?;
    let media_type = head.headers.get("content-type").and_then(|value| value.to_str().ok());
    let lines = media_type.is_some_and(|value| value.to_ascii_lowercase().starts_with(LINES));
    let body = read_body(&head, body, MANY_BODY_BYTES_MAX).await?;
    let items = parse_many(&body, lines)?;
    let calls = items.into_iter().enumerate().map(|(index, item)| item_of(&context, index, item));
    let results = futures::stream::iter(calls).buffered(AT_ONCE_MAX).collect().await;
    let results = Results(results);
    Ok(with_retry_after(answer(results.status(), JSON, results.to_json())))
}

async fn item_of(
    context: &Context,
    index: usize,
    item: Result<Sale, Violation>,
) -> Result<(), IntakeError> {
    crate::accept(item?, context.for_item(index)).await.map(drop)
}

/// Adds `Retry-After` if the whole request failed for a reason that may be temporary.
fn with_retry_after(mut answer: Answer) -> Answer {
    if matches!(answer.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
        answer.headers_mut().insert("retry-after", intake::RETRY_AFTER_SECONDS.into());
    }
    answer
}
