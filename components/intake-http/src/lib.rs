//! Stands for the next hop, which it calls over HTTP: `POST {bridge_url}/forward`.

use std::time::Duration;

use bindings::exports::doorbuster::sales::intake::Guest;
use bytes::Bytes;
use guest_http::{Variable, read_body, unanswered, with_context, within};
use http::{Request, StatusCode, header};
use http_body_util::Full;
use intake::request::Context;
use intake::{IntakeError, Problem};
use sales_wit::types;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:intake-http/component",
        path: ["../../wit/doorbuster-sales", "world.wit"],
        with: { "doorbuster:sales/types@0.1.0": sales_wit::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::IntakeHttp;
    export!(IntakeHttp);
}

static BRIDGE_URL: Variable = Variable::new("bridge_url");

/// Longest answer that is read: a problem fits well.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Time the next hop gets; above the bridge's own deadline, so that its answer arrives.
const DEADLINE: Duration = Duration::from_secs(20);

/// The next hop over HTTP.
struct IntakeHttp;

impl Guest for IntakeHttp {
    async fn accept(sale: types::Sale, context: types::Context) -> Result<(), types::IntakeError> {
        let (sale, context) = (sales_wit::to_sale(sale), sales_wit::to_context(context));
        forward(&sale, context).await.map_err(sales_wit::from_error)
    }
}

async fn forward(sale: &sale::Sale, context: Context) -> Result<(), IntakeError> {
    let url = format!("{}/forward", BRIDGE_URL.get().await?.trim_end_matches('/'));
    let request = request(&url, sale, context)?;
    let call = async {
        let response = spin_sdk::http::send(request).await.map_err(|e| unanswered(&url, e))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(());
        }
        let body = read_body(response.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
        Err(Problem::to_error(status, &body))
    };
    match within(DEADLINE, call).await {
        Some(result) => result,
        None => Err(IntakeError::TimedOut(format!("{url}: no answer within {DEADLINE:?}"))),
    }
}

fn request(
    url: &str,
    sale: &sale::Sale,
    context: Context,
) -> Result<Request<Full<Bytes>>, IntakeError> {
    let body = Bytes::from(sale.to_json());
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len());
    with_context(request, context)
        .body(Full::new(body))
        .map_err(|e| IntakeError::Other(format!("Spin variable `bridge_url`: `{url}`: {e}")))
}
