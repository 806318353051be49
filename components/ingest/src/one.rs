//! `POST /purchase`.

use guest_http::{Answer, Request, answer, read_body};
use http::StatusCode;
use intake::Problem;
use intake::hop_times::{self, HopTimer};
use intake::request::{BODY_BYTES_MAX, check};
use sale::Sale;

const ACCEPTED: &[u8] = br#"{"status":"Procesado"}"#;

/// Accepts one sale.
pub async fn purchase(request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let context = check(&head.method, &head.headers, &["application/json"], BODY_BYTES_MAX)?;
    let timer = HopTimer::start("ingest", &context);
    let body = read_body(&head, body, BODY_BYTES_MAX).await?;
    let sale = Sale::from_request_json(&body)?;
    let later = crate::accept(sale, context).await?;
    let mut answer = answer(StatusCode::OK, "application/json", ACCEPTED);
    hop_times::insert(answer.headers_mut(), &timer.stop(later));
    Ok(answer)
}
