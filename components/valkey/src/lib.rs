//! The Valkey outbound connector: a connection is opened on first use, kept between calls and
//! opened anew after a fault.

mod connection;
mod convert;

use std::sync::{Mutex, MutexGuard, PoisonError};

use bindings::exports::doorbuster::valkey::client::{ClientError, Command, Guest, Reply};
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

/// Most connections kept at rest: as many as calls that a host makes at once in an instance.
const IDLE_MAX: usize = 64;

/// Connections at rest. A call has one for itself: replies are never mixed, and no call waits
/// for another.
static IDLE: Mutex<Vec<Connection>> = Mutex::new(Vec::new());

struct Valkey;

impl Guest for Valkey {
    async fn pipeline(commands: Vec<Command>) -> Result<Vec<Reply>, ClientError> {
        if commands.len() > COMMANDS_MAX {
            let text = format!("{} commands; at most {COMMANDS_MAX} go at once", commands.len());
            return Err(ClientError::Protocol(text));
        }
        // Taken out: whatever ends this call early leaves no connection with half a reply.
        let idle = idle().pop();
        let mut connection = match idle {
            Some(connection) => connection,
            None => connect().await?,
        };
        let replies = connection.exchange(&commands).await?;
        let mut idle = self::idle();
        if idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(replies.into_iter().map(convert::reply).collect())
    }
}

fn idle() -> MutexGuard<'static, Vec<Connection>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn connect() -> Result<Connection, ClientError> {
    let url = spin_sdk::variables::get("valkey_url")
        .await
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    let address = Address::parse(&url)
        .map_err(|e| ClientError::Config(format!("Spin variable `valkey_url`: {e}")))?;
    Connection::open(&address).await
}
