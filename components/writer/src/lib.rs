//! The writer: accepts a sale over gRPC (`ProductSaleService`) or from another component, claims
//! its idempotency key, writes it to Kafka, and answers after the broker's acknowledgement.

mod grpc;
mod publish;

use bindings::exports::doorbuster::sales::intake::Guest;
use intake::IntakeError;
use intake::hop_times::{HopTime, HopTimer};
use intake::request::Context;
use sale::Sale;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:writer/component",
        path: ["../../wit/doorbuster-sales", "world.wit"],
        with: { "doorbuster:sales/types@0.2.0": intake::types },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Writer;
    export!(Writer);
}

/// The name of this hop in the times of a sale.
const HOP: &str = "writer";

/// The interface for calls from other components.
struct Writer;

impl Guest for Writer {
    /// Does not check the sale. Only components of the same application can call this function, and
    /// each entry from outside checks its sales: `POST /purchase` and `POST /purchases` of ingest,
    /// `POST /forward` of the bridge, and gRPC of the writer.
    async fn accept(sale: Sale, context: Context) -> Result<Vec<HopTime>, IntakeError> {
        let timer = HopTimer::start(HOP, &context);
        let later = publish::publish(sale, context).await?;
        Ok(timer.stop(later))
    }
}

guest_http::handler!(grpc::answer);
