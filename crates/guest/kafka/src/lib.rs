//! How the components write records: the producer with its errors, and claims of idempotency keys.

mod key_claim;
mod send;

pub use key_claim::claim;
pub use send::{Record, send, send_each};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:guest-kafka/component",
        path: [
            "../../../wit/doorbuster-valkey",
            "../../../wit/spin-kafka-events",
            "world.wit",
        ],
        with: {
            "doorbuster:valkey/client@0.2.0/scalar": valkey_codec::Scalar,
            "doorbuster:valkey/client@0.2.0/reply": valkey_codec::Reply,
        },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}
