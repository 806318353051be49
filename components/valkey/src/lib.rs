//! The Valkey outbound connector: one connection for the instance, opened on first use, kept
//! between calls and opened anew after a fault.

mod connection;
mod convert;
mod dial;

use bindings::exports::doorbuster::valkey::client::{ClientError, Command, Guest, Reply};
use futures::lock::Mutex;
use valkey_codec::Address;

use connection::Connection;

#[allow(missing_docs, unsafe_code, reason = "generated")]
mod bindings {
    spin_sdk::wit_bindgen::generate!({
        world: "doorbuster:valkey-connector/component",
        path: ["../../wit/doorbuster-valkey", "world.wit"],
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
    use super::Valkey;
    export!(Valkey);
}

/// Most commands in one pipeline.
const COMMANDS_MAX: usize = 10_000;

/// The connection at rest. Locked for a whole pipeline, so that concurrent calls in one
/// instance take turns and their replies are never mixed.
static CONNECTION: Mutex<Option<Connection>> = Mutex::new(None);

struct Valkey;

impl Guest for Valkey {
    async fn pipeline(commands: Vec<Command>) -> Result<Vec<Reply>, ClientError> {
        if commands.len() > COMMANDS_MAX {
            let text = format!("{} commands; at most {COMMANDS_MAX} go at once", commands.len());
            return Err(ClientError::Protocol(text));
        }
        let mut kept = CONNECTION.lock().await;
        // Taken out: whatever ends this call early leaves no connection with half a reply.
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => connect().await?,
        };
        let replies = connection.exchange(&commands).await?;
        *kept = Some(connection);
        Ok(replies.into_iter().map(convert::reply).collect())
    }
}

async fn connect() -> Result<Connection, ClientError> {
    let url = spin_sdk::variables::get("valkey_url")
        .await
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    let address = Address::parse(&url)
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    Connection::open(&address).await
}
