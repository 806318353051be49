//! A Valkey client for hosts that do not provide `doorbuster:valkey/client`.

use std::rc::Rc;

use bindings::exports::doorbuster::valkey::client::Guest;
use guest_valkey::Client;
use valkey_codec::{ClientError, Reply};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:valkey-connector/component",
        path: ["../../wit/doorbuster-valkey", "world.wit"],
        with: {
            "doorbuster:valkey/client@0.2.0/client-error": valkey_codec::ClientError,
            "doorbuster:valkey/client@0.2.0/scalar": valkey_codec::Scalar,
            "doorbuster:valkey/client@0.2.0/reply": valkey_codec::Reply,
        },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Valkey;
    export!(Valkey);
}

thread_local! {
    static CLIENT: Rc<Client> = Rc::new(Client::new("valkey_url"));
}

struct Valkey;

impl Guest for Valkey {
    async fn pipeline(
        commands: Vec<u8>,
        replies: u32,
        limit_ms: u32,
    ) -> Result<Vec<Reply>, ClientError> {
        let client = CLIENT.with(Rc::clone);
        client.pipeline(commands, replies, limit_ms).await
    }
}
