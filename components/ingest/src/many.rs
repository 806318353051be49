//! `POST /purchases`.

use futures::StreamExt as _;
use guest_http::{Answer, Request, read_body, results};
use intake::many::{self, MEDIA_TYPES};
use intake::request::{Context, MANY_BODY_BYTES_MAX, check};
use intake::{IntakeError, PROCESSED, Problem, Results};
use sale::Sale;
use serde_json::json;

/// Maximum number of sales of one request that are in progress at once.
const AT_ONCE_MAX: usize = 64;

/// Accepts several sales, and returns the result of each.
pub async fn purchases(request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let context =
        check(&head.method, &head.headers, &MEDIA_TYPES, MANY_BODY_BYTES_MAX)?.check_many_key()?;
    let body = read_body(&head, body, MANY_BODY_BYTES_MAX).await?;
    let items = many::split(&body, many::has_lines(&head.headers))?.into_iter().enumerate();
    let calls = items.map(|(index, item)| accept_item(&context, index, item));
    let all = futures::stream::iter(calls).buffered(AT_ONCE_MAX).collect().await;
    Ok(results(&Results(all), &json!({ "status": PROCESSED })))
}

async fn accept_item(context: &Context, index: usize, item: &[u8]) -> Result<(), IntakeError> {
    let sale = Sale::from_request_json(item)?;
    crate::accept(sale, context.for_item(index)).await.map(drop)
}
