//! A Valkey client: one connection to the primary, which all calls of an instance share. Calls that
//! arrive during a round trip are combined into the next one.
//!
//! The connection is opened on first use, kept for a while, and opened again after a failure or if
//! the server is no longer the primary. There is no background task, so the host can drop an idle
//! instance together with its connection.

mod connection;
mod primary;
mod round;

use std::rc::Rc;

use bindings::exports::doorbuster::valkey::client::{ClientError, Command, Guest};
use guest_tasks::{calmly, wake_up};
use valkey_codec::{Reply, encode};

use connection::protocol;
use round::{Exchange, ROUND_LIMIT, Shared, Turn};

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:valkey-connector/component",
        path: ["../../wit/doorbuster-valkey", "world.wit"],
        with: {
            "doorbuster:valkey/client@0.1.0/scalar": valkey_codec::Scalar,
            "doorbuster:valkey/client@0.1.0/reply": valkey_codec::Reply,
        },
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Valkey;
    export!(Valkey);
}

/// Maximum number of commands in one pipeline.
const COMMANDS_MAX: usize = 10_000;

thread_local! {
    static SHARED: Rc<Shared> = Rc::default();
}

struct Valkey;

impl Guest for Valkey {
    async fn pipeline(commands: Vec<Command>) -> Result<Vec<Reply>, ClientError> {
        if commands.len() > COMMANDS_MAX {
            let text = format!("{} commands; at most {COMMANDS_MAX} go at once", commands.len());
            return Err(ClientError::Protocol(text));
        }
        let bytes = encode(&commands).map_err(protocol)?;
        let exchange = Exchange { bytes, replies: commands.len() };
        let shared = SHARED.with(Rc::clone);
        let lead = async |turn: &Turn<'_>| shared.lead(turn).await;
        let replies = calmly(shared.rounds.join(exchange, wake_up, lead)).await;
        replies.unwrap_or_else(|| {
            Err(ClientError::Interrupted(format!(
                "no reply: the round trip took {ROUND_LIMIT:?}, or the call that led it was cancelled"
            )))
        })
    }
}
