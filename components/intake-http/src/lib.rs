//! Implements `intake` by calling the next hop over HTTP: `POST {bridge_url}/forward`.

use bindings::exports::doorbuster::sales::intake::Guest;
use bytes::Bytes;
use guest_http::{Variable, with_context};
use guest_http_send::{ResponseLimits, send};
use http::{Request, StatusCode, header};
use intake::hop_times::{self, HopTime};
use intake::request::Context;
use intake::{IntakeError, Problem};
use sale::Sale;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:intake-http/component",
        path: ["../../wit/doorbuster-sales", "world.wit"],
        with: { "doorbuster:sales/types@0.2.0": intake::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::IntakeHttp;
    export!(IntakeHttp);
}

static BRIDGE_URL: Variable = Variable::new("bridge_url");

/// The time limit is longer than the bridge's own deadline, so that its response arrives. The size
/// limit is far larger than problem details.
const LIMITS: ResponseLimits = ResponseLimits { timeout_ms: 20_000, body_bytes_max: 64 << 10 };

/// The client of the next hop over HTTP.
struct IntakeHttp;

impl Guest for IntakeHttp {
    async fn accept(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
        forward(&sale, context).await
    }
}

async fn forward(sale: &Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
    let url = format!("{}/forward", BRIDGE_URL.get().await?.trim_end_matches('/'));
    let request = request(&url, sale, context)?;
    let answer = send(request, LIMITS).await?;
    match answer.status() {
        StatusCode::OK => Ok(hop_times::read(answer.headers())),
        status => Err(Problem::to_error(status, &answer.body().data)),
    }
}

fn request(url: &str, sale: &Sale, context: Context) -> Result<Request<Bytes>, IntakeError> {
    let body = Bytes::from(sale.to_json());
    let request = Request::post(url).header(header::CONTENT_TYPE, "application/json");
    with_context(request, context)
        .body(body)
        .map_err(|e| IntakeError::Other(format!("Spin variable `bridge_url`: `{url}`: {e}")))
}
