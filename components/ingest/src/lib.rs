//! Accepts sales over HTTP: `POST /purchase` and `POST /purchases`. The response is sent after the
//! broker's acknowledgement.

mod many;
mod one;

use guest_http::{Answer, Request, problem, report};
use intake::hop_times::HopTime;
use intake::request;

#[allow(missing_docs, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:ingest/component",
        path: ["../../wit/doorbuster-sales", "world.wit"],
        with: { "doorbuster:sales/types@0.2.0": intake::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

guest_http::handler!(route);

async fn route(request: Request) -> Answer {
    // Routes of a Spin application also ignore slashes at both ends.
    let answer = match request.uri().path().trim_matches('/') {
        "purchase" => one::purchase(request).await,
        "purchases" => many::purchases(request).await,
        _ => Err(request::not_found(request.uri().path())),
    };
    answer.unwrap_or_else(|failure| problem(&failure))
}

/// Passes a sale to the next hop. Returns the times of the later hops.
async fn accept(
    sale: sale::Sale,
    context: request::Context,
) -> Result<Vec<HopTime>, intake::IntakeError> {
    bindings::doorbuster::sales::intake::accept(sale, context).await.inspect_err(report)
}
