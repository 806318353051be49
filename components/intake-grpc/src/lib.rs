//! Implements `intake` by calling the next hop over gRPC: `ProductSaleService` at `{writer_url}`.

use bindings::exports::doorbuster::sales::intake::Guest;
use bytes::Bytes;
use guest_http::{Answer, Variable, with_context};
use guest_http_send::{ResponseLimits, send};
use http::{HeaderMap, Request, StatusCode, header};
use intake::IntakeError;
use intake::grpc::{self, Status, code};
use intake::hop_times::{self, HopTime};
use intake::request::Context;
use product_sale::{Message as _, ProductSaleRequest, ProductSaleResponse, is_success};
use sale::Sale;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:intake-grpc/component",
        path: ["../../wit/doorbuster-sales", "world.wit"],
        with: { "doorbuster:sales/types@0.2.0": intake::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::IntakeGrpc;
    export!(IntakeGrpc);
}

static WRITER_URL: Variable = Variable::new("writer_url");

/// The time limit is also sent as `grpc-timeout`.
const LIMITS: ResponseLimits =
    ResponseLimits { timeout_ms: 15_000, body_bytes_max: grpc::BODY_BYTES_MAX as u64 };
const GRPC_TIMEOUT: &str = "15S";

/// The client of the next hop over gRPC.
struct IntakeGrpc;

impl Guest for IntakeGrpc {
    async fn accept(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
        process(sale, context).await
    }
}

async fn process(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
    let base = WRITER_URL.get().await?.trim_end_matches('/');
    let request = request(base, sale, context)?;
    outcome(base, send(request, LIMITS).await?)
}

fn request(base: &str, sale: Sale, context: Context) -> Result<Request<Bytes>, IntakeError> {
    let message = Bytes::from(grpc::frame(&ProductSaleRequest::from(sale).encode_to_vec()));
    let request = Request::post(format!("{base}{}", grpc::METHOD_PATH))
        .header(header::CONTENT_TYPE, grpc::CONTENT_TYPE)
        .header(header::TE, "trailers")
        .header("grpc-timeout", GRPC_TIMEOUT);
    with_context(request, context)
        .body(message)
        .map_err(|e| IntakeError::Other(format!("Spin variable `writer_url`: `{base}`: {e}")))
}

/// A call is successful only if the gRPC status is 0 and the message reports success. Returns the
/// times of the hops; the original writer does not send any.
fn outcome(base: &str, answer: Answer) -> Result<Vec<HopTime>, IntakeError> {
    let (head, body) = answer.into_parts();
    if head.status != StatusCode::OK {
        return Err(intake::Problem::to_error(head.status, b""));
    }
    let unexpected = |what: &str| IntakeError::Other(format!("{base}: {what}"));
    // A failure without a message has its status in the headers.
    let status = status(&head.headers).or_else(|| status(&body.trailers));
    ended(status.ok_or_else(|| unexpected("the response has no grpc-status"))?)?;
    let message = grpc::unframe(&body.data).map_err(IntakeError::from)?;
    match ProductSaleResponse::decode(message) {
        Ok(response) if is_success(&response) => Ok(hop_times::read(&head.headers)),
        // The original writer reports failures with status 0 and a text.
        Ok(response) => Err(unexpected(&format!("the writer reports `{}`", response.estado))),
        Err(e) => Err(unexpected(&format!("not a valid ProductSaleResponse: {e}"))),
    }
}

fn status(headers: &HeaderMap) -> Option<Status> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    Status::decode(text("grpc-status")?, text("grpc-message").unwrap_or(""))
}

fn ended(status: Status) -> Result<(), IntakeError> {
    if status.code == code::OK { Ok(()) } else { Err(status.into()) }
}
