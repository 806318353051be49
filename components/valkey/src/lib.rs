//! A Valkey client: one connection to the primary, which all calls of an instance share. Calls that
//! arrive during a round trip are combined into the next one.
//!
//! The connection is opened on first use, kept for a while, and opened again after a failure or if
//! the server is no longer the primary. There is no background task, so the host can drop an idle
//! instance together with its connection.

mod connection;
mod round_trip;

use std::rc::Rc;
use std::time::Duration;

use bindings::exports::doorbuster::valkey::client::Guest;
use guest_tasks::{wake_up, within};
use valkey_codec::{COMMANDS_MAX, ClientError, ROUND_LIMIT, Reply};

use round_trip::{Connector, Exchange, Leadership};

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
    static CONNECTOR: Rc<Connector> = Rc::default();
}

struct Valkey;

impl Guest for Valkey {
    async fn pipeline(
        commands: Vec<u8>,
        replies: u32,
        limit_ms: u32,
    ) -> Result<Vec<Reply>, ClientError> {
        if replies > COMMANDS_MAX {
            return Err(ClientError::too_many_commands(replies));
        }
        let exchange = Exchange { bytes: commands, replies: replies as usize };
        let connector = CONNECTOR.with(Rc::clone);
        let run_round = async |leadership: &Leadership<'_>| connector.run_round(leadership).await;
        let limit = Duration::from_millis(limit_ms.into()).min(ROUND_LIMIT);
        let submitted = within(limit, connector.calls.submit(exchange, wake_up, run_round)).await;
        submitted.flatten().unwrap_or_else(|| {
            Err(ClientError::Interrupted(format!(
                "no reply within {limit:?}, or the leading call of the round trip was cancelled"
            )))
        })
    }
}
