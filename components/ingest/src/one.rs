//! `POST /purchase`.

use guest_http::{Answer, answer, read_body};
use intake::Problem;
use intake::request::{BODY_BYTES_MAX, check};
use sale::Sale;
use spin_sdk::http::{Request, StatusCode};

const ACCEPTED: &[u8] = br#"{"status":"Procesado"}"#;

/// Takes one sale.
pub async fn purchase(request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let context = check(&head.method, &head.headers, &["application/json"], BODY_BYTES_MAX)?;
    let body = read_body(body, BODY_BYTES_MAX).await?;
    let sale = Sale::from_request_json(&body)?;
    crate::accept(sale, context).await?;
    Ok(answer(StatusCode::OK, "application/json", ACCEPTED))
}
