//! The bridge: receives a sale over HTTP (`POST /forward`) or from another component and passes it
//! to the next hop, with retries where they are safe, a circuit breaker and an optional deadline.

mod forward;

use bindings::exports::doorbuster::sales::intake::Guest;
use guest_http::{Answer, Request, answer, problem, read_body, report};
use http::StatusCode;
use intake::hop_times::{self, HopTime, HopTimer};
use intake::request::{BODY_BYTES_MAX, Context, check, not_found};
use intake::{IntakeError, Problem};
use sale::Sale;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:bridge/component",
        path: ["../../wit/doorbuster-sales", "world.wit"],
        with: { "doorbuster:sales/types@0.2.0": intake::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Bridge;
    export!(Bridge);
}

/// The name of this hop in the times of a sale.
const HOP: &str = "bridge";

const FORWARDED: &[u8] = br#"{"estado":"Procesado"}"#;

/// The export that other components call.
struct Bridge;

impl Guest for Bridge {
    async fn accept(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
        let timer = HopTimer::start(HOP, &context);
        let later = forward::forward(sale, context).await?;
        Ok(timer.stop(later))
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
    let timer = HopTimer::start(HOP, &context);
    let body = read_body(&head, body, BODY_BYTES_MAX).await?;
    let sale = Sale::from_request_json(&body)?;
    let later = forward::forward(sale, context).await.inspect_err(report)?;
    let mut answer = answer(StatusCode::OK, "application/json", FORWARDED);
    hop_times::insert(answer.headers_mut(), &timer.stop(later));
    Ok(answer)
}
