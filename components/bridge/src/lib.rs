//! The bridge: receives a sale over HTTP (`POST /forward`) or from another component and passes it
//! to the next hop, within a deadline, with retries where they are safe, and with a circuit
//! breaker.

mod forward;

use bindings::exports::doorbuster::sales::intake::Guest;
use guest_http::{Answer, Request, answer, problem, read_body, report};
use guest_tasks::suppress_spurious_polls;
use http::StatusCode;
use intake::request::{BODY_BYTES_MAX, Context, check, not_found};
use intake::{IntakeError, Problem};
use sale::Sale;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:bridge/component",
        path: ["../../wit/doorbuster-sales", "world.wit"],
        with: { "doorbuster:sales/types@0.1.0": intake::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Bridge;
    export!(Bridge);
}

const FORWARDED: &[u8] = br#"{"estado":"Procesado"}"#;

/// The export that other components call.
struct Bridge;

impl Guest for Bridge {
    async fn accept(sale: Sale, context: Context) -> Result<(), IntakeError> {
        suppress_spurious_polls(forward::forward(sale, context)).await
    }
}

guest_http::handler!(route);

async fn route(request: Request) -> Answer {
    // Slashes at both ends of the path are ignored, as in routes.
    let answer = match request.uri().path().trim_matches('/') {
        "forward" => forwarded(request).await,
        _ => Err(not_found(request.uri().path())),
    };
    answer.unwrap_or_else(|failure| problem(&failure))
}

async fn forwarded(request: Request) -> Result<Answer, Problem> {
    let (head, body) = request.into_parts();
    let context = check(&head.method, &head.headers, &["application/json"], BODY_BYTES_MAX)?;
    let body = read_body(&head, body, BODY_BYTES_MAX).await?;
    let sale = Sale::from_request_json(&body)?;
    forward::forward(sale, context).await.inspect_err(report)?;
    Ok(answer(StatusCode::OK, "application/json", FORWARDED))
}
