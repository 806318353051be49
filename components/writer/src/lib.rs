//! The writer: accepts a sale over gRPC (`ProductSaleService`) or from another component, claims
//! its idempotency key, writes it to Kafka, and answers after the broker's acknowledgement.

mod door;
mod grpc;
mod log;

use bindings::exports::doorbuster::sales::intake::Guest;
use guest_tasks::calmly;
use sales_wit::types;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:writer/component",
        path: [
            "../../wit/doorbuster-sales",
            "../../wit/doorbuster-valkey",
            "../../wit/spin-kafka-events",
            "world.wit",
        ],
        with: {
            "doorbuster:sales/types@0.1.0": sales_wit::types,
        },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Writer;
    export!(Writer);
}

/// The interface for calls from other components.
struct Writer;

impl Guest for Writer {
    async fn accept(sale: types::Sale, context: types::Context) -> Result<(), types::IntakeError> {
        let (sale, context) = (sales_wit::to_sale(sale), sales_wit::to_context(context));
        calmly(log::append(sale, context)).await.map_err(sales_wit::from_error)
    }
}

guest_http::handler!(grpc::answer);
